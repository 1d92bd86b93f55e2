package predicate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// sample has a column of every supported type.
func sample() Table {
	return Table{Schema: "public", Name: "items", Columns: []Column{
		{Name: "id", TypeOID: 20, TypeMod: -1},
		{Name: "flag", TypeOID: 16, TypeMod: -1},
		{Name: "flag2", TypeOID: 16, TypeMod: -1},
		{Name: "i2", TypeOID: 21, TypeMod: -1},
		{Name: "i4", TypeOID: 23, TypeMod: -1},
		{Name: "f4", TypeOID: 700, TypeMod: -1},
		{Name: "f8", TypeOID: 701, TypeMod: -1},
		{Name: "n", TypeOID: 1700, TypeMod: -1},
		{Name: "price", TypeOID: 1700, TypeMod: 10<<16 | 2 + 4},
		{Name: "t", TypeOID: 25, TypeMod: -1},
		{Name: "v", TypeOID: 1043, TypeMod: -1},
		{Name: "c", TypeOID: 1042, TypeMod: 9},
		{Name: "u", TypeOID: 2950, TypeMod: -1},
		{Name: "d", TypeOID: 1082, TypeMod: -1},
		{Name: "ts", TypeOID: 1114, TypeMod: -1},
		{Name: "tz", TypeOID: 1184, TypeMod: -1},
		{Name: "Order", TypeOID: 23, TypeMod: -1},
		{Name: "doc", TypeOID: 3802, TypeMod: -1},
		{Name: "mood", TypeOID: 99999, TypeMod: -1},
		{Name: "feeling", TypeOID: 99998, TypeMod: -1, TypeName: "mood_type", Enum: []string{"sad", "ok"}},
		{Name: "raw", TypeOID: 17, TypeMod: -1},
		{Name: "tags", TypeOID: 1009, TypeMod: -1},
		{Name: "nums", TypeOID: 1007, TypeMod: -1},
		{Name: "iv", TypeOID: 1186, TypeMod: -1},
		{Name: "tm", TypeOID: 1083, TypeMod: -1},
		{Name: "period", TypeOID: 3908, TypeMod: -1, TypeName: "tsrange"},
		{Name: "email", TypeOID: 99996, TypeMod: -1, TypeName: "citext"},
		{Name: "pic", TypeOID: 142, TypeMod: -1, TypeName: "xml"},
		{Name: "old", TypeOID: 114, TypeMod: -1, TypeName: "json"},
		{Name: "ip", TypeOID: 869, TypeMod: -1},
		{Name: "bits", TypeOID: 1562, TypeMod: -1},
		{Name: "mac", TypeOID: 829, TypeMod: -1},
		{Name: "ref", TypeOID: 26, TypeMod: -1},
		{Name: "point", TypeOID: 99997, TypeMod: -1, TypeName: "app.point2", Composite: true},
		{Name: "whole", TypeOID: 23, TypeMod: -1, Domain: true, TypeName: "app.whole"},
		{Name: "gen", TypeOID: 23, TypeMod: -1, Generated: true},
		{Name: "spans", TypeOID: 3906, TypeMod: -1},
		{Name: "size", TypeOID: 99995, TypeMod: -1, TypeName: "size_type", Enum: manyLabels(maxOrderedLabels + 1)},
	}}
}

// manyLabels are n labels.
func manyLabels(n int) []string {
	labels := make([]string, n)
	for i := range labels {
		labels[i] = fmt.Sprintf("l%d", i)
	}
	return labels
}

func compile(tb testing.TB, where string, params ...string) *Predicate {
	tb.Helper()
	p, err := Compile(where, given(params...), sample(), nil)
	if err != nil {
		tb.Fatalf("Compile(%q): %v", where, err)
	}
	return p
}

func TestCompiledClausesPrintAsSelfContainedSQL(t *testing.T) {
	for _, test := range []struct {
		where  string
		params []string
		sql    string
	}{
		{"", nil, `true`},
		{"  \n\t", nil, `true`},
		{"id = 42", nil, `"id" = '42'::bigint`},
		{"id = $1", []string{" +42 "}, `"id" = '42'::bigint`},
		{"42 <id", nil, `"id" > '42'::bigint`},
		{"i2 = 40000", nil, `"i2" = '40000'::integer`},
		{"feeling < 'ok'", nil, `"feeling" < 'ok'`},
		{"'ok' >= feeling", nil, `'ok' >= "feeling"`},
		{"feeling between 'sad' and $1", []string{"ok"}, `("feeling" <= 'ok' AND "feeling" >= 'sad')`},
		{"feeling > any ('{sad,NULL}')", nil, `(NULL::boolean OR "feeling" > 'sad')`},
		{"'sad'::mood_type < 'ok'", nil, `true`},
		{"'sad'::mood_type <> 'ok' and flag", nil, `("flag" AND true)`},
		{"greatest('sad', 'ok'::mood_type) > feeling", nil, `'ok' > "feeling"`},
		{"least(feeling, 'ok') < 'ok'", nil, `LEAST("feeling", 'ok') < 'ok'`},
		{"i4 = 1.50", nil, `"i4" = '1.5'::numeric`},
		{"i4 = 1.00", nil, `"i4" = '1'::integer`},
		{"i4 < 1e2", nil, `"i4" < '100'::integer`},
		{"id = -9223372036854775808", nil, `"id" = '-9223372036854775808'::bigint`},
		{"id = 9223372036854775808", nil, `"id" = '9223372036854775808'::numeric`},
		{"n = 5", nil, `"n" = '5'::numeric`},
		{"f4 = 1.1", nil, `"f4" = '1.1'::double precision`},
		{"f4 = '1.1'", nil, `"f4" = '1.1'::real`},
		{"f4 = 0.5", nil, `"f4" = '0.5'::real`},
		{"f4 in (1.1, 2)", nil, `"f4" IN ('2'::real, '1.1'::real)`},
		{"f8 = -0.0", nil, `"f8" = '0'::double precision`},
		{"i4 = 1.5::float8", nil, `"i4" = '1.5'::double precision`},
		{"price < 1.5::float8", nil, `"price" < '1.5'::double precision`},
		{"not flag and flag2 or FALSE", nil, `(("flag2" AND NOT "flag") OR false)`},
		{"flag = (i4 is null)", nil, `"flag" = ("i4" IS NULL)`},
		{"(i4 > 1) is not true", nil, `("i4" > '1'::integer) IS NOT TRUE`},
		{"flag is unknown", nil, `"flag" IS UNKNOWN`},
		{"i4 = null", nil, `NULL::boolean`},
		{"null is null", nil, `true`},
		{"t = 'it''s'", nil, `"t" = 'it''s'::text`},
		{`t = 'a\b'`, nil, `"t" = E'a\\b'::text`},
		{"t < 'b'", nil, `"t" COLLATE "C" < 'b'::text`},
		{"t = v", nil, `"t" COLLATE "C" = "v"`},
		{"c = 'ab  '", nil, `"c" = 'ab'::bpchar`},
		{"c = 'ab  '::text", nil, `"c" = 'ab  '::text`},
		{"v = 'ab  '::bpchar", nil, `"v" = 'ab'::bpchar`},
		{"t = 'ab  '::bpchar", nil, `"t" = 'ab'::text`},
		{"t like 'a%'", nil, `"t" COLLATE "C" LIKE 'a%'::text`},
		{"t not ilike $1", []string{"%x_"}, `NOT ("t" COLLATE "C" ILIKE '%x_'::text)`},
		{"t like 'a!%' escape '!'", nil, `"t" COLLATE "C" LIKE E'a\\%'::text`},
		{"t like 'a\\' escape ''", nil, `"t" COLLATE "C" LIKE E'a\\\\'::text`},
		{"i4 in (1)", nil, `"i4" = '1'::integer`},
		{"i4 in (1,1,2, null)", nil, `"i4" IN ('1'::integer, '2'::integer, NULL::integer)`},
		{"i4 not in (1,2.5)", nil, `NOT ("i4" IN ('1'::integer, '2.5'::numeric))`},
		{"i4 in (i2, 7)", nil, `("i4" = "i2" OR "i4" = '7'::integer)`},
		{"i4 between 1 and $1", []string{"3"}, `("i4" <= '3'::integer AND "i4" >= '1'::integer)`},
		{"i4 not between 1 and 3", nil, `("i4" < '1'::integer OR "i4" > '3'::integer)`},
		{"u = '{A0EEBC99-9c0b4ef8-BB6D-6bb9bd380a11}'", nil, `"u" = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid`},
		{"d = '0044-03-15 bc'", nil, `"d" = '0044-03-15 BC'::date`},
		{"d < '2024-01-02'::timestamp", nil, `"d" < '2024-01-02 00:00:00'::timestamp without time zone`},
		{"ts >= '2024-01-02T03:04:05.120'", nil, `"ts" >= '2024-01-02 03:04:05.12'::timestamp without time zone`},
		{"tz >= '2024-01-02 03:04+02:30'", nil, `"tz" >= '2024-01-02 00:34:00+00'::timestamp with time zone`},
		{"tz = timestamptz '2024-01-02'", nil, `"tz" = '2024-01-02 00:00:00+00'::timestamp with time zone`},
		{`"Order" = 1 AND public.items.i4 = 2 AND items.i2 = 3`, nil, `("Order" = '1'::integer AND "i2" = '3'::smallint AND "i4" = '2'::integer)`},
		{"doc is not null", nil, `"doc" IS NOT NULL`},
		{"1 = 1", nil, `true`},
		{"'a' > 'b'", nil, `false`},
		{"flag and (flag2 and (i4 = 1))", nil, `("flag" AND "flag2" AND "i4" = '1'::integer)`},
		{"id = $1 and i4 = $1", []string{"5"}, `("i4" = '5'::integer AND "id" = '5'::bigint)`},
		{"i4 is distinct from 1", nil, `"i4" IS DISTINCT FROM '1'::integer`},
		{"i4 is not distinct from null", nil, `"i4" IS NULL`},
		{"i4 between symmetric 3 and 1", nil, `(("i4" <= '1'::integer AND "i4" >= '3'::integer) OR ("i4" <= '3'::integer AND "i4" >= '1'::integer))`},
		{"lower(t) = 'x'", nil, `lower("t" COLLATE "C") COLLATE "C" = 'x'::text`},
		{"i4 + 1 = 2", nil, `("i4"::bigint + '1'::bigint) = '2'::bigint`},
		{"id + 1 = 2", nil, `("id"::numeric + '1'::numeric) = '2'::numeric`},
		{"i4 / i2 = 2", nil, `("i4"::bigint / NULLIF("i2"::bigint, '0'::bigint)) = '2'::bigint`},
		{"id / 2 = 2", nil, `div("id"::numeric, '2'::numeric) = '2'::numeric`},
		{"f8 / 2 > 1", nil, `(CASE WHEN abs("f8") BETWEEN '1e-100'::double precision AND '1e+100'::double precision OR "f8" IN ('-Infinity'::double precision, '0'::double precision, 'Infinity'::double precision, 'NaN'::double precision) THEN "f8" END / '2'::double precision) > '1'::double precision`},
		{"price * 2 > 5", nil, `("price" * '2'::numeric) > '5'::numeric`},
		{"t || v = 'ab'", nil, `("t" || "v"::text) COLLATE "C" = 'ab'::text`},
		{"i4 = any ('{1,2}')", nil, `"i4" IN ('1'::integer, '2'::integer)`},
		{"i4 <> all ($1)", []string{"{2,1}"}, `NOT ("i4" IN ('1'::integer, '2'::integer))`},
		{"'a' = any (tags)", nil, `'a'::text = ANY ("tags")`},
		{"tags @> array['b', 'a']", nil, `"tags" OPERATOR(pg_catalog.@>) '{b,a}'::text[]`},
		{"tags[1] = 'a'", nil, `("tags")['1'::integer] COLLATE "C" = 'a'::text`},
		{"nums[2:] && '{1}'", nil, `("nums")['2'::integer:] OPERATOR(pg_catalog.&&) '{1}'::integer[]`},
		{"doc->'a'->>0 = 'x'", nil, `(("doc" -> 'a'::text) ->> '0'::integer) COLLATE "C" = 'x'::text`},
		{"doc #>> '{a, 0}' = 'x'", nil, `("doc" #>> '{a,0}'::text[]) COLLATE "C" = 'x'::text`},
		{"doc #> tags = doc['a']['b c'][-1]", nil, `("doc" #> "tags") = ("doc" #> '{a,"b c",-1}'::text[])`},
		{"doc @> '{\"b\":[1.0],\"a\":null}'", nil, `"doc" @> '{"a": null, "b": [1.0]}'::jsonb`},
		{"feeling = 'sad'", nil, `"feeling" = 'sad'`},
		{"feeling in ('sad'::mood_type, $1)", []string{"ok"}, `"feeling" IN ('ok', 'sad')`},
		{"feeling::text <> 'x'", nil, `"feeling"::text COLLATE "C" <> 'x'::text`},
		{"d + 7 > '2024-01-01'", nil, `(CASE WHEN "d" BETWEEN '0001-01-01'::date AND '9999-12-31'::date OR "d" IN ('-infinity'::date, 'infinity'::date) THEN "d" END + '7'::integer) > '2024-01-01'::date`},
		{"iv > '90 minutes'", nil, `"iv" > '01:30:00'::interval`},
		{"tm < '12:00'", nil, `"tm" < '12:00:00'::time without time zone`},
		{"coalesce(i4, 0) > 1", nil, `COALESCE("i4", '0'::integer) > '1'::integer`},
		{`raw = 'a\\b' and raw <> '\xAB'`, nil, `("raw" <> E'\\xab'::bytea AND "raw" = E'\\x615c62'::bytea)`},
		{"ip in ('10.0.0.1/32', '10.0.0.1', '::FFFF:1.2.3.4')", nil, `"ip" IN ('10.0.0.1'::inet, '::ffff:1.2.3.4'::inet)`},
		{"bits = X'5' or bits = '1'", nil, `("bits" = B'0101' OR "bits" = B'1')`},
		{"mac = '08002B-010203'", nil, `"mac" = '08:00:2b:01:02:03'::macaddr`},
		{"ref = 5 and ref in (7, '8')", nil, `("ref" = '5'::oid AND "ref" IN ('7'::oid, '8'::oid))`},
		{"point is null", nil, `"point" IS NULL`},
		{"point is not null", nil, `("point" IS NOT NULL AND NOT ("point" IS NULL))`},
		{"email::text = 'x'", nil, `"email"::text COLLATE "C" = 'x'::text`},
		{"period @> ts or '(,\"2024-01-01 00:00\"]' && period", nil, `("period" @> "ts" OR '(,"2024-01-01 00:00:00"]'::tsrange && "period")`},
		{"i4 <@ int4range '[1,5]' and n <@ '(1.50,)'::numrange", nil, `("i4" < '6'::integer AND "i4" >= '1'::integer AND "n" > '1.5'::numeric)`},
		{"(('x'::text = 'y'::text)::int between 0 and i4) and 1::bool = flag", nil, `("i4" >= '0'::integer AND true AND true = "flag")`},
		{"i4 = 1_000 or i4 = 0xff", nil, `("i4" = '1000'::integer OR "i4" = '255'::integer)`},
	} {
		p, err := Compile(test.where, given(test.params...), sample(), nil)
		if err != nil {
			t.Errorf("%s\n got  error %v\n want %s", test.where, err, test.sql)
			continue
		}
		if got := p.SQL(); got != test.sql {
			t.Errorf("%s\n got  %s\n want %s", test.where, got, test.sql)
		}
		// A subquery's clause is printed, and compiled again for its inner shape.
		if again, err := Compile(p.SQL(), nil, sample(), nil); err != nil {
			t.Errorf("%s: what it prints cannot be compiled: %v", test.where, err)
		} else if again.SQL() != p.SQL() {
			t.Errorf("%s prints as %s, and that as %s", test.where, p.SQL(), again.SQL())
		}
	}
}

func TestErrorsSayWhatIsWrongAndWhere(t *testing.T) {
	for _, test := range []struct {
		where  string
		params []string
		want   string
	}{
		{"id = ", nil, `where clause, position 6: syntax error at end of input`},
		{"t = 'é' and nope", nil, `where clause, position 13: column "nope" does not exist in table public.items`},
		{"t = '" + strings.Repeat("-", 600) + "'", nil, `where clause, position 6: more than 500 operator characters in a row (if they belong to a string, pass it as a parameter)`},
		{"id = = 1", nil, `where clause, position 6: syntax error at or near "="`},
		{"'é' = 'é' = 1", nil, `where clause, position 11: syntax error at or near "="`},
		{"t = 'abc", nil, `where clause, position 5: unterminated quoted string at or near "'abc"`},
		{"nope = 1", nil, `where clause, position 1: column "nope" does not exist in table public.items`},
		{"flag and order_ = 1", nil, `where clause, position 10: column "order_" does not exist in table public.items`},
		{"Id = 1 and \"ID\" = 1", nil, `where clause, position 12: column "ID" does not exist in table public.items (there is "id": unquoted names are lower case, so quote it)`},
		{"other.id = 1", nil, `where clause, position 1: unknown table "other" (the clause may only name columns of public.items)`},
		{"gen = 1", nil, `where clause, position 1: column "gen" is generated (Postgres does not replicate generated columns; use the columns it is computed from)`},
		{"flag AND mood = 'x'", nil, `where clause, position 15: operator does not exist: oid 99999 = unknown (columns of this type can only be tested with IS NULL)`},
		{`raw = '\xf'`, nil, `where clause, position 7: invalid input for type bytea: "\xf" (bytes are written in hex: \xdeadbeef)`},
		{"raw like 'x'", nil, `where clause, position 5: operator does not exist: bytea ~~ text`},
		{"pic = 'x'", nil, `where clause, position 5: operator does not exist: xml = unknown (columns of this type can only be tested with IS NULL)`},
		{"email = 'x'", nil, `where clause, position 7: operator does not exist: citext = unknown (citext folds letters as the database's locale does; write lower("email"::text) = 'x', which folds ASCII letters, or "email"::text = 'x')`},
		{"old ->> 'a' = 'x'", nil, `where clause, position 5: operator does not exist: json ->> unknown (columns of this type can only be tested with IS NULL, and cast to text; make it a column of jsonb)`},
		{"ip = '10.1'", nil, `where clause, position 6: invalid input for type inet: "10.1" (addresses are written whole: 10.0.0.1, 10.0.0.0/8, 2001:db8::1, 2001:db8::/32)`},
		{"ip < '10.0.0.1'", nil, `where clause, position 4: operator < is not supported on inet (only = and <> are)`},
		{"ip << '10.0.0.0/8'", nil, `where clause, position 4: operator << is not supported yet, because nothing has been compared for shifts, networks and ranges (write x * 2 for a shift, or compare both ends of a range)`},
		{"bits = '012'", nil, `where clause, position 8: invalid input for type bit varying: "012" (bits are written B'0101' or X'5')`},
		{"mac = '08:00'", nil, `where clause, position 7: invalid input for type macaddr: "08:00" (hardware addresses are written 08:00:2b:01:02:03)`},
		{"ref = -1", nil, `where clause, position 7: invalid input for type oid: "-1"`},
		{"ref = i4", nil, `where clause, position 5: operator does not exist: oid = integer`},
		{"doc < '{}'", nil, `where clause, position 5: operator < is not supported on jsonb (only = and <> are)`},
		{"doc = '{'", nil, `where clause, position 7: invalid input for type jsonb: "{"`},
		{"doc[i4] = doc", nil, `where clause, position 5: jsonb subscripts are supported as constants only (write jsonb -> key, or jsonb #> ARRAY[key, key])`},
		{"doc[1:2] = doc", nil, `where clause, position 1: jsonb subscript does not support slices (write jsonb['key'] or jsonb[0])`},
		{"doc[1.5] = doc", nil, `where clause, position 5: jsonb subscript must be of type integer or text, not numeric`},
		{"doc #> 'a' = doc", nil, `where clause, position 8: malformed array literal: "a" (arrays are written {1,2,3} or {a,"b c",NULL})`},
		{"raw -> 'a' = doc", nil, `where clause, position 5: operator does not exist: bytea -> unknown`},
		{"doc->'a' = 'x'", nil, `where clause, position 12: invalid input for type jsonb: "x"`},
		{"id", nil, `where clause, position 1: argument of WHERE must be type boolean, not type bigint`},
		{"flag and 1", nil, `where clause, position 10: argument of AND must be type boolean, not type integer`},
		{"i4 is true", nil, `where clause, position 1: argument of IS TRUE must be type boolean, not type integer`},
		{"i4 = 'abc'", nil, `where clause, position 6: invalid input for type integer: "abc"`},
		{"flag and i2 = '40000'", nil, `where clause, position 15: "40000" is out of range for type smallint`},
		{"i4 = $1", []string{"x"}, `where clause, position 6: parameter $1: invalid input for type integer: "x"`},
		{"i4 = $2", []string{"1"}, `where clause, position 6: parameter $2 was not provided (there are 1)`},
		{"i4 = 1", []string{"1"}, `where clause: parameter $1 is not used (each parameter must appear in the clause)`},
		{"$1 is null", []string{"1"}, `where clause, position 1: could not determine the type of parameter $1 (cast it: $1::text)`},
		{"i4 = t", nil, `where clause, position 4: operator does not exist: integer = text`},
		{"i4 like '1%'", nil, `where clause, position 4: operator does not exist: integer ~~ text`},
		{`t like 'a\'`, nil, `where clause, position 8: LIKE pattern must not end with the escape character`},
		{"ts < tz", nil, `where clause, position 4: cannot compare timestamp without time zone with timestamp with time zone (the result would depend on the session's time zone)`},
		{"n < f8", nil, `where clause, position 1: numeric column "n" cannot be compared with floating point numbers (its values may be out of their range; compare with a numeric: '1.5'::numeric)`},
		{"i4 in (select 1)", nil, `where clause, position 4: subqueries are not supported yet`},
		{"flag and exists (select 1)", nil, `where clause, position 10: subqueries are not supported yet`},
		{"i4 = (select 1)", nil, `where clause, position 6: subqueries are not supported yet`},
		{"lower(i4) = 'x'", nil, `where clause, position 1: Could not select a function overload for lower(integer)`},
		{"md5(t) = 'x'", nil, `where clause, position 1: function md5 is not supported yet, because a clause would compute a hash of every row that changes (store it in a column)`},
		{"frobnicate(t) = 'x'", nil, `where clause, position 1: function frobnicate is not supported, because clauses know only functions that are shown to give the same result here as in Postgres (docs/PREDICATES.md lists what can be written)`},
		{"left(t) = 'x'", nil, `where clause, position 1: function left does not take 1 argument (docs/PREDICATES.md lists what can be written)`},
		{"app.f(t) = 'x'", nil, `where clause, position 1: functions of other schemas than pg_catalog are not supported, because clauses know nothing of them (docs/PREDICATES.md lists what can be written)`},
		{"t @@ 'x'", nil, `where clause, position 3: operator @@ is not supported yet, because text search depends on dictionaries, which belong to the server (write x ILIKE '%word%'; of jsonb @@ is supported)`},
		{"doc @? '$.a == 1'", nil, `where clause, position 8: jsonpath, character 7: a predicate is true or false, so that this path always leads to something (write @@ with a predicate, or a filter: $.key ? (@ == 1))`},
		{"doc @? 'strict $.a'", nil, `where clause, position 8: jsonpath, character 1: strict mode is not supported, because it raises errors that hide what is found (write the path without strict)`},
		{"doc @@ '$.a'", nil, `where clause, position 8: jsonpath, character 4: a path alone is no condition (write path == true, or exists(path))`},
		{"doc @@ '$.a like_regex \"x\"'", nil, `where clause, position 8: jsonpath, character 5: like_regex is not supported, because its patterns are a kind of their own (write starts with "x", or (doc ->> 'key') ~ 'pattern')`},
		{"doc @@ $1", []string{"$.a = 1"}, `where clause, position 8: parameter $1: jsonpath, character 5: = compares nothing here (write ==)`},
		{"doc @? '$.a ? (@.b == $.c)'", nil, `where clause, position 8: jsonpath, character 15: two paths cannot be compared: each item of one would be compared with each of the other (compare a path with a constant)`},
		{"doc @? '$.a ? ($.b == 1)'", nil, `where clause, position 8: jsonpath, character 8: $ stands at the beginning only: in a filter it would go through the whole document for each item (write @ for the item)`},
		{"doc @? '$.**.a'", nil, `where clause, position 8: jsonpath, character 3: ** is not supported, because it finds one value in many ways (name the keys on the way)`},
		{"doc @? '$.a.size()'", nil, `where clause, position 8: jsonpath, character 5: method size() is not supported (compare the value itself)`},
		{"doc @? '$.a-b'", nil, `where clause, position 8: jsonpath, character 4: arithmetic is not supported (compare a path with a constant)`},
		{"doc @? t", nil, `where clause, position 5: operator does not exist: jsonb @? text`},
		{"'{}' @@ '$.a == 1'", nil, `where clause, position 6: operator does not exist: unknown @@ unknown`},
		{"jsonb_path_exists(doc, '$.a', '{}')", nil, `where clause, position 1: function jsonb_path_exists does not take 3 arguments (docs/PREDICATES.md lists what can be written)`},
		{"jsonb_path_query_first(doc, '$.a') = '1'", nil, `where clause, position 1: function jsonb_path_query_first is not supported yet, because it has not been shown to give the same result here as in Postgres (write doc #> '{path}')`},
		{"i4 <~> 1 = 2", nil, `where clause, position 4: operator <~> is not supported, because clauses know only operators that are shown to give the same result here as in Postgres (docs/PREDICATES.md lists what can be written)`},
		{"concat(variadic array['a']) = 'x'", nil, `where clause, position 1: explicit VARIADIC function calls are not supported`},
		{"count(*) = 1", nil, `where clause, position 1: an aggregate is not supported yet, because it is about many rows, and a clause is about one (ask for the rows)`},
		{"i4 + t = 2", nil, `where clause, position 4: operator does not exist: integer + text`},
		{"d + '1' > d", nil, `where clause, position 3: operator is not unique: date + unknown (cast the operand to the type that is meant)`},
		{"f8 * f8 * f8 * f8 > 1", nil, `where clause, position 14: the result can be out of the range of its type (Postgres would raise an error for such rows; use columns with a declared precision, or numeric instead of double precision)`},
		{"f8 ^ i4 > 1", nil, `where clause, position 4: operator ^ is supported with the constant exponents 1 to 8 only (the last digits of other powers depend on the machine)`},
		{"ts + interval '6000 years' > ts", nil, `where clause, position 4: the result can be out of the range of timestamp without time zone (together, the intervals that are added may be some thousands of years long at most)`},
		{"tz at time zone 'Europe/Berlin' > ts", nil, `where clause, position 17: time zone "Europe/Berlin" is not supported yet, because the server's rules of it may change under a shape that lives (use UTC or an offset such as +02:00, where positive is west of Greenwich, as in Postgres; or keep the local time in a column)`},
		{"t ~ v", nil, `where clause, position 5: the pattern of ~ must be a constant`},
		{"t ~ '(a)\\1'", nil, `where clause, position 5: regular expression, character 5: the escape \1 is not supported (\d \w \s \D \W \S \A \Z \y \Y \n \t \r \f \v are, and \ before any sign)`},
		{"t ~* 'a(?=b)'", nil, `where clause, position 6: regular expression, character 4: only groups ( ) and (?: ) are supported: no lookahead, lookbehind, options or comments (write ~* to ignore case)`},
		{"t ~ 'a**'", nil, `where clause, position 5: regular expression, character 3: a repetition cannot be repeated (put what it repeats into parentheses)`},
		{"t ~ $1", []string{"a{2"}, `where clause, position 5: parameter $1: regular expression, character 2: a repetition is written {2}, {2,} or {2,5}, up to 255 (write \{ for the character)`},
		{"tz::date = d", nil, `where clause, position 5: a cast from timestamp with time zone to date is not supported, because it depends on the session's time zone (say x AT TIME ZONE 'UTC')`},
		{"t collate \"de_DE\" = 'x'", nil, `where clause, position 3: COLLATE is not supported (text is always ordered by its bytes, as under COLLATE "C")`},
		{"case when i4 then flag end", nil, `where clause, position 11: argument of CASE/WHEN must be type boolean, not type integer`},
		{"case when flag then i4 else t end = 1", nil, `where clause, position 1: CASE types text and integer cannot be matched`},
		{"substring(t from 'a.b') = 'x'", nil, `where clause, position 18: substring with a pattern is not supported (with positions it is: substring(x from 1 for 2); cast a parameter: $1::int)`},
		{"split_part(t, '-', 0) = 'x'", nil, `where clause, position 20: the field of split_part must be a constant, and not 0`},
		{"btrim(t, v) = 'x'", nil, `where clause, position 10: argument 2 of btrim must be a constant`},
		{"round(f8, 2) = 1", nil, `where clause, position 1: Could not select a function overload for round(double precision, integer) (cast double precision to numeric)`},
		{"date_trunc('day', tz) = tz", nil, `where clause, position 1: Could not select a function overload for date_trunc(text, timestamp with time zone) (it depends on the session's time zone; say date_trunc('day', x, 'UTC'))`},
		{"extract(hour from d) = 1", nil, `where clause, position 9: hour of date is not supported`},
		{"extract(hour from tz) = 1", nil, `where clause, position 9: hour of timestamp with time zone is not supported (it depends on the session's time zone; say x AT TIME ZONE 'UTC')`},
		{"point = '(1,2)'", nil, `where clause, position 7: operator does not exist: app.point2 = unknown (columns of composite types can only be tested with IS NULL; compare its attributes in columns of their own)`},
		{"point is distinct from null", nil, `where clause, position 7: operator does not exist: app.point2 = unknown (columns of composite types can only be tested with IS NULL; compare its attributes in columns of their own)`},
		{"period @> tz", nil, `where clause, position 8: operator does not exist: tsrange @> timestamp with time zone (a range is compared with ranges of its type, or with values of the type of its bounds; cast one of them)`},
		{"period @> '2024-01-01'", nil, `where clause, position 11: malformed range literal: "2024-01-01" (ranges are written [1,5), (,5] or empty; a bound with blanks stands in double quotes)`},
		{"period && '[2024-01-02,2024-01-01)'", nil, `where clause, position 11: range lower bound must be less than or equal to range upper bound: "[2024-01-02,2024-01-01)"`},
		{"i4 <@ int4range '(1,2147483647]'", nil, `where clause, position 17: "(1,2147483647]" is out of range for type int4range`},
		{"ts <@ '[2024-01-01,)'", nil, `where clause, position 4: operator does not exist: timestamp without time zone <@ unknown (cast the constant to the type that is meant: '[1,5)'::int4range)`},
		{"period < '[,)'", nil, `where clause, position 8: operator < is not supported on tsrange (only = and <> are)`},
		{"period << '[,)'", nil, `where clause, position 8: operator << is not supported yet, because nothing has been compared for shifts, networks and ranges (write x * 2 for a shift, or compare both ends of a range)`},
		{"tsrange(ts, ts) @> ts", nil, `where clause, position 1: function tsrange is not supported yet, because Postgres raises an error where the lower bound is above the upper one (write '[a,b)'::tsrange, or compare both ends)`},
		{"feeling < any(tags)", nil, `where clause, position 9: of enums only comparisons with ANY and ALL of an array constant are supported (write column = ANY ('{a,b}') or column IN ('a', 'b'))`},
		{"feeling = any('{ok,angry}')", nil, `where clause, position 15: invalid input value for enum mood_type: "angry"`},
		{"feeling = 'angry'", nil, `where clause, position 11: invalid input value for enum mood_type: "angry"`},
		{"'sad' < any ('{ok}'::mood_type[])", nil, `where clause, position 7: of an array of an enum, ANY and ALL compare values of the enum only (write column < ANY ('{a,b}'), or cast the left side to the enum)`},
		{"case when flag then 'ok'::mood_type else 'sad' end < feeling", nil, `where clause, position 52: the order of enum mood_type is not supported among constants only (compare a column with them)`},
		{"greatest(case when flag then 'ok'::mood_type else 'sad' end, feeling) > 'sad'", nil, `where clause, position 1: the order of enum mood_type is not supported among constants only (compare a column with them)`},
		{"feeling < 'angry'", nil, `where clause, position 11: invalid input value for enum mood_type: "angry"`},
		{"case when flag then 'ok'::mood_type else 'sad' end < 'sad'::mood_type", nil, `where clause, position 52: the order of enum mood_type is not supported among constants only (compare a column with them)`},
		{"size < 'l9'", nil, `where clause, position 6: enum size_type has 1001 labels, the order of at most 1000 can be asked for (say which labels are meant: column IN ('a', 'b'))`},
		{"tags = array['x', 1]", nil, `where clause, position 14: invalid input for type integer: "x"`},
		{"tags @> array[]", nil, `where clause, position 9: cannot determine the type of an empty array (cast it: ARRAY[]::integer[])`},
		{"i4 = any (5)", nil, `where clause, position 11: argument of ANY must be an array`},
		{"tags || 'x' = tags", nil, `where clause, position 9: malformed array literal: "x" (arrays are written {1,2,3} or {a,"b c",NULL})`},
		{"(i4, i2) = 5", nil, `where clause, position 12: a row is compared with rows only (write (a, b) = (1, 2) or (a, b) IN ((1, 2), (3, 4)))`},
		{"(i4, i2) in ((1, 2), (3, 4, 5))", nil, `where clause, position 10: unequal number of entries in row expressions`},
		{"(i4, i2) is null", nil, `where clause, position 1: a row is supported only where it is compared with rows (write (a, b) = (1, 2) or (a, b) IN ((1, 2), (3, 4)))`},
		{"coalesce(i4, t) = 1", nil, `where clause, position 1: COALESCE types integer and text cannot be matched`},
		{"tz < now()", nil, `where clause, position 6: function now is not supported yet, because its value changes without any row changing (write its value as a parameter)`},
		{"tz < current_timestamp", nil, `where clause, position 6: functions of the current time or user are not supported yet, because their value changes without any row changing (write its value as a parameter)`},
		{"t = 'x'::json::text", nil, `where clause, position 10: unsupported type json`},
		{"t = 'x'::varchar(3)", nil, `where clause, position 10: a cast to character varying with a length or precision is not supported (write the value as it is meant, and leave the length out (bpchar for char))`},
		{"d = '01/02/2024'", nil, `where clause, position 5: invalid input for type date: "01/02/2024" (dates and times are written in ISO 8601: 2024-12-31, 2024-12-31 23:59:59.5, 2024-12-31T23:59:59+02:00, infinity)`},
		{"ts = '2024-01-01 00:00+02'", nil, `where clause, position 6: a timestamp without time zone has no zone but UTC: "2024-01-01 00:00+02" (Postgres would ignore the zone and take the time as it is written; leave it out, or write the time in UTC)`},
		{"f8 = 1e400", nil, `where clause, position 6: "1e400" is out of range for type double precision`},
		{"true; drop table items", nil, `where clause: the clause must be one expression, without ";"`},
		{"true;", nil, `where clause: the clause must be one expression, without ";"`},
		{"true group by 1", nil, `where clause: the clause must be one boolean expression, but GROUP follows`},
		{"true limit 1", nil, `where clause: the clause must be one boolean expression, but LIMIT follows`},
		{"true union select 1", nil, `where clause: the clause must be one boolean expression, but UNION, INTERSECT or EXCEPT follows`},
		{"a\x00b", nil, `where clause, position 2: the clause contains a zero byte`},
		{"é = \xff", nil, `where clause, position 5: the clause is not valid UTF-8`},
		{strings.Repeat("x", 1<<20), nil, `where clause: the clause has 1048576 bytes, at most 65536 are allowed`},
		{strings.Repeat("(", 30000), nil, `where clause, position 1001: the clause is nested too deeply`},
		{strings.Repeat("not ", 15000) + "flag", nil, `where clause, position 4001: the clause is nested too deeply`},
		{strings.Repeat("not ", 200) + "flag", nil, `where clause, position 517: the clause is nested too deeply`},
		{"flag" + strings.Repeat("+1", 30000), nil, `where clause, position 1004: the clause is nested too deeply`},
	} {
		p, err := Compile(test.where, given(test.params...), sample(), nil)
		short := test.where[:min(80, len(test.where))]
		var e *Error
		if err == nil || !errors.As(err, &e) {
			t.Errorf("%s\n got %v, %v, want an *Error", short, p, err)
			continue
		}
		if got := err.Error(); got != test.want {
			t.Errorf("%s\n got  %s\n want %s", short, got, test.want)
		}
	}
}
