package predicate

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// reason says why something of Postgres is not of the language, and what to write instead.
type reason struct{ because, instead string }

const (
	ofNow        = "its value changes without any row changing"
	ofZone       = "it depends on the time zone, or on tables of them"
	ofLocale     = "it depends on the server's locale"
	ofExtension  = "it belongs to an extension, of which clauses know nothing"
	ofSearch     = "text search depends on dictionaries, which belong to the server"
	ofMany       = "it is about many rows, and a clause is about one"
	ofMachine    = "its last digits depend on the machine"
	ofRange      = "Postgres raises an error where the lower bound is above the upper one"
	notCompared  = "it has not been shown to give the same result here as in Postgres"
	asConstant   = "write its value as a parameter"
	asTableAbove = "docs/PREDICATES.md lists what can be written"
)

// refusedFunctions are functions that people write and that the language does not have.
var refusedFunctions = map[string]reason{
	"now": {ofNow, asConstant}, "clock_timestamp": {ofNow, asConstant}, "statement_timestamp": {ofNow, asConstant},
	"transaction_timestamp": {ofNow, asConstant}, "random": {ofNow, asConstant}, "gen_random_uuid": {ofNow, asConstant}, "timeofday": {ofNow, asConstant},
	"current_setting": {"it is a setting of a session, of which there are others in the stream", asConstant},
	"age":             {"of one argument it is measured from today, and of two its months depend on both", "write a - b, which is an interval of days"},
	"to_char":         {ofLocale, "compare the value itself"}, "to_date": {ofLocale, "write x::date"}, "to_timestamp": {ofZone, "write x::timestamp"},
	"to_number": {ofLocale, "write x::numeric"}, "initcap": {ofLocale, "write lower(x)"},
	"make_date": {"Postgres raises an error for a day that there is not", "write the date as a constant"}, "make_timestamp": {"Postgres raises an error for a time that there is not", "write the time as a constant"},
	"int4range": {ofRange, "write '[a,b)'::int4range, or compare both ends"}, "int8range": {ofRange, "write '[a,b)'::int8range, or compare both ends"}, "numrange": {ofRange, "write '[a,b)'::numrange, or compare both ends"},
	"daterange": {ofRange, "write '[a,b)'::daterange, or compare both ends"}, "tsrange": {ofRange, "write '[a,b)'::tsrange, or compare both ends"}, "tstzrange": {ofRange, "write '[a,b)'::tstzrange, or compare both ends"},
	"isempty": {notCompared, "write x = 'empty'"}, "lower_inc": {notCompared, ""}, "upper_inc": {notCompared, ""}, "lower_inf": {notCompared, ""}, "upper_inf": {notCompared, ""}, "range_merge": {notCompared, ""},
	"make_interval": {notCompared, "write the interval as a constant"},
	"ln":            {ofMachine, ""}, "log": {ofMachine, ""}, "exp": {ofMachine, ""}, "log10": {ofMachine, ""}, "cbrt": {ofMachine, ""},
	"sin": {ofMachine, ""}, "cos": {ofMachine, ""}, "tan": {ofMachine, ""}, "atan2": {ofMachine, ""}, "radians": {ofMachine, ""}, "degrees": {ofMachine, ""},
	"regexp_like": {"clauses have the operator", "write x ~ 'pattern'"}, "regexp_match": {notCompared, "write x ~ 'pattern'"}, "regexp_matches": {ofMany, "write x ~ 'pattern'"},
	"regexp_replace": {notCompared, "write x ~ 'pattern', or replace() with constants"}, "regexp_count": {notCompared, "write x ~ 'pattern'"}, "regexp_substr": {notCompared, "write x ~ 'pattern'"},
	"similar_to_escape": {"clauses have other patterns", "write x LIKE 'pattern' or x ~ 'pattern'"},
	"md5":               {"a clause would compute a hash of every row that changes", "store it in a column"}, "sha256": {"a clause would compute a hash of every row that changes", "store it in a column"},
	"digest": {ofExtension, "store it in a column"}, "similarity": {ofExtension, "write x ILIKE '%word%'"}, "unaccent": {ofExtension, "store it in a column"}, "levenshtein": {ofExtension, ""},
	"st_contains": {ofExtension, "compare numbers in columns of their own"}, "st_within": {ofExtension, "compare numbers in columns of their own"}, "st_dwithin": {ofExtension, "compare numbers in columns of their own"}, "st_intersects": {ofExtension, "compare numbers in columns of their own"},
	"to_tsvector": {ofSearch, "write x ILIKE '%word%'"}, "to_tsquery": {ofSearch, "write x ILIKE '%word%'"}, "plainto_tsquery": {ofSearch, "write x ILIKE '%word%'"}, "websearch_to_tsquery": {ofSearch, "write x ILIKE '%word%'"},
	"unnest": {ofMany, "write x = ANY (array)"}, "generate_series": {ofMany, "write BETWEEN"}, "jsonb_array_elements": {ofMany, `write doc @> '["x"]'`}, "jsonb_array_elements_text": {ofMany, `write doc @> '["x"]'`}, "jsonb_object_keys": {ofMany, "write doc ? 'key'"},
	"jsonb_path_query": {ofMany, "write doc @? 'path'"}, "jsonb_path_query_first": {notCompared, "write doc #> '{path}'"}, "jsonb_path_exists_tz": {ofZone, "write doc @? 'path'"}, "jsonb_path_match_tz": {ofZone, "write doc @@ 'path == 1'"},
	"jsonb_extract_path": {"it is another name of an operator", "write doc #> '{a,b}'"}, "jsonb_extract_path_text": {"it is another name of an operator", "write doc #>> '{a,b}'"}, "jsonb_exists": {"it is another name of an operator", "write doc ? 'key'"}, "jsonb_contains": {"it is another name of an operator", "write doc @> '{…}'"},
	"array_position": {notCompared, "write x = ANY (array)"}, "array_remove": {notCompared, "write x = ANY (array)"}, "array_to_string": {notCompared, "write x = ANY (array)"}, "string_to_array": {notCompared, "write split_part(x, ',', 1)"}, "array_contains": {ofExtension, "write array @> ARRAY[x]"},
	"count": {ofMany, "ask for the rows"}, "sum": {ofMany, "ask for the rows"}, "avg": {ofMany, "ask for the rows"}, "min": {ofMany, "write least(a, b)"}, "max": {ofMany, "write greatest(a, b)"}, "array_agg": {ofMany, "ask for the rows"}, "string_agg": {ofMany, "ask for the rows"}, "bool_and": {ofMany, "ask for the rows"}, "bool_or": {ofMany, "ask for the rows"}, "row_number": {ofMany, "ask for the rows"}, "rank": {ofMany, "ask for the rows"},
	"format": {notCompared, "join texts with ||"}, "concat_ws": {notCompared, "join texts with ||"}, "lpad": {notCompared, "compare the text itself"}, "rpad": {notCompared, "compare the text itself"}, "repeat": {"it may make large texts", "compare the text itself"}, "translate": {notCompared, "write replace()"}, "ascii": {notCompared, "write left(x, 1)"}, "chr": {notCompared, "write the character"},
	"bit_length":       {notCompared, "write length(x)"},
	"current_database": {"it is a property of the session", asConstant}, "pg_backend_pid": {"it is a property of the session", asConstant}, "txid_current": {ofNow, asConstant}, "pg_typeof": {"types are known when the clause is written", ""},
}

// refusedFunction is the error for a call of what the language does not have.
func refusedFunction(name string, arity, pos int) *Error {
	r, known := refusedFunctions[name]
	switch {
	case known:
		return refusal("function "+name, r, pos)
	case takes(name):
		return &Error{Pos: pos, Message: fmt.Sprintf("function %s does not take %s", name, countOf(arity, "argument")), Hint: asTableAbove}
	}
	return &Error{Pos: pos, Message: fmt.Sprintf("function %s is not supported, because clauses know only functions that are shown to give the same result here as in Postgres", name), Hint: asTableAbove}
}

// takes reports whether there is a function of the name.
func takes(name string) bool {
	for f := range functions {
		if f.name == name {
			return true
		}
	}
	_, ok := value.KindOfName(name)
	return ok
}

// refusedOperators are operators of Postgres and of well-known extensions.
var refusedOperators = map[string]reason{
	"@@": {ofSearch, "write x ILIKE '%word%'; of jsonb @@ is supported"}, "@@@": {ofSearch, "write x ILIKE '%word%'"},
	"<->": {"distances depend on the machine, or on an extension", "compare numbers in columns of their own"}, "<=>": {ofExtension, ""}, "<#>": {ofExtension, ""},
	"<%": {ofExtension, "write x ILIKE '%word%'"}, "%>": {ofExtension, "write x ILIKE '%word%'"},
	"<<": {"nothing has been compared for shifts, networks and ranges", "write x * 2 for a shift, or compare both ends of a range"}, ">>": {"nothing has been compared for shifts, networks and ranges", "write x / 2 for a shift, or compare both ends of a range"},
	"<<=": {"networks are compared as texts only", ""}, ">>=": {"networks are compared as texts only", ""}, "-|-": {"ranges are compared as texts only", "compare both ends"}, "&<": {"ranges are compared as texts only", "compare both ends"}, "&>": {"ranges are compared as texts only", "compare both ends"},
	"#-": {"clauses do not change documents", "compare a part with #>"}, "~=": {"geometric types are not compared", "compare numbers in columns of their own"}, "||/": {ofMachine, ""}, "!!": {ofSearch, ""},
	"~<~": {"texts are compared by their bytes anyway", "write <"}, "~>~": {"texts are compared by their bytes anyway", "write >"}, "~<=~": {"texts are compared by their bytes anyway", "write <="}, "~>=~": {"texts are compared by their bytes anyway", "write >="},
}

func refusedOperator(name string, pos int) *Error {
	if r, known := refusedOperators[name]; known {
		return refusal("operator "+name, r, pos)
	}
	return &Error{Pos: pos, Message: fmt.Sprintf("operator %s is not supported, because clauses know only operators that are shown to give the same result here as in Postgres", name), Hint: asTableAbove}
}

func refusal(what string, r reason, pos int) *Error {
	return &Error{Pos: pos, Message: what + " is not supported yet, because " + r.because, Hint: r.instead}
}
