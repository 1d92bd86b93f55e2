package predicate

import (
	"fmt"
	"strings"
)

// tamePools keep arithmetic within its types, so that Postgres has an answer to the user's own text too.
var tamePools = map[string][]string{
	"i2": {"0", "1", "-1", "2", "7", "42"}, "i4": {"0", "1", "-3", "2", "7", "42", "1000"}, "i8": {"0", "1", "-1", "5", "7", "100000"},
	"n": {"0", "1", "1.10", "-2.5", "0.1", "100", "7.000", "NaN"}, "di": {"0", "1", "-3", "2", "7", "1000"}, "dn": {"0", "1", "1.10", "-2.5", "7.000"}, "f8": {"0", "1", "1.1", "-2.5", "0.1", "1e10", "-0"}, "f4": {"0", "1", "1.1", "-2.5", "0.5"},
	"d":  {"2000-01-01", "2024-02-29", "1999-12-31", "0001-01-01", "2024-03-31", "1900-03-01"},
	"ts": {"2000-01-01 00:00:00", "2024-02-29 12:34:56.7", "1999-12-31 23:59:59.999999", "2024-03-31 01:30:00", "0900-01-31 00:00:00"},
	"tz": {"2000-01-01 00:00:00+00", "2024-03-31 01:30:00+01", "1999-12-31 23:59:59.999999Z"}, "tz2": {"2024-10-27 02:30:00+02", "2000-01-01 00:00:00+00"},
	"t": {"1", " 42 ", "-7", "007", "0"}, "v": {"a", "ab", "%", "a%", "_b", `a\%`}, "ai": {"{}", "{1}", "{1,2}", "{2,7,NULL}", "[0:1]={1,2}"},
	"al": {"{}", "{1}", "{1,2}", "{2,7,NULL}"}, "at": {"{}", "{a}", "{a,b}", "{ab,NULL,é}"},
}

var fields = []string{
	"year", "month", "day", "hour", "minute", "second", "milliseconds", "microseconds", "epoch", "dow", "isodow", "doy", "week", "quarter", "isoyear",
	"decade", "century", "millennium", "YEAR", "days",
}

// expression makes a random expression of a type: int (any width), numeric, float8, text, date, timestamp, timestamptz,
// time, interval, int[], text[], jsonb, enum, bool.
func (g *generator) expression(kind string, depth int) string {
	if depth <= 0 {
		return g.atom(kind)
	}
	sub := func(kind string) string { return g.expression(kind, depth-1-g.IntN(2)) }
	both := func(format string, kinds ...string) string {
		args := make([]any, len(kinds))
		for i, k := range kinds {
			args[i] = sub(k)
		}
		return fmt.Sprintf(format, args...)
	}
	if g.IntN(12) == 0 && kind != "bool" {
		switch g.IntN(3) {
		case 0:
			return both("coalesce(%s, %s)", kind, kind)
		case 1:
			if kind == "text" {
				return both(`greatest(%s COLLATE "C", %s)`, kind, kind)
			}
			if !onlyEqual(kind) {
				return both(pick(g, []string{"greatest", "least"})+"(%s, %s, %s)", kind, kind, kind)
			}
		}
	}
	if g.IntN(12) == 0 && kind != "key" && kind != "path" && kind != "small" {
		return pick(g, []func() string{
			func() string { return both("CASE WHEN %s THEN %s ELSE %s END", "bool", kind, kind) },
			func() string { return both("CASE WHEN %s THEN %s WHEN %s THEN %s END", "bool", kind, "bool", kind) },
			func() string { return both("(CASE %s WHEN %s THEN %s ELSE %s END)", "int", "int", kind, kind) },
			func() string {
				return both("CASE %s WHEN 'a' THEN NULL WHEN %s THEN %s ELSE %s END", "v", "text", kind, kind)
			},
		})()
	}
	sign := pick(g, []string{"+", "-"})
	field := quoteLiteral(pick(g, fields))
	switch kind {
	case "int":
		return pick(g, []func() string{
			func() string { return both("cardinality(%s)", pick(g, []string{"int[]", "text[]"})) },
			func() string {
				return both("array_length(%s, "+pick(g, []string{"1", "2", "0", "i2", "i4"})+")", "int[]")
			},
			func() string { return both("strpos(%s, %s)", "text", "text") },
			func() string { return both("octet_length(%s)", "text") },
			func() string { return both("jsonb_array_length(%s)", "jsonb") },
			func() string { return both("position(%s in %s)", "text", "text") },
			func() string { return both("(%s "+pick(g, []string{"+", "-", "*", "/", "%%"})+" %s)", "int", "int") },
			func() string { return both("(%s "+pick(g, []string{"&", "|", "#"})+" %s)", "int", "int") },
			func() string { return both("("+pick(g, []string{"-", "~", "@", "+"})+" %s)", "int") },
			func() string { return both("length(%s)", "text") },
			func() string { return both("(%s - %s)", "date", "date") },
			func() string { return both("(%s)["+pick(g, []string{"0", "1", "2", "i2"})+"]", "int[]") },
			func() string { return both("(%s)::int", "text") },
			func() string { return both("abs(%s)", "int") },
			func() string { return both("array_ndims(%s)", "int[]") },
			func() string { return both("(%s ->> 'a')::int", "jsonb") },
			func() string { return both("(%s #>> %s)::int", "jsonb", "path") },
		})()
	case "numeric":
		return pick(g, []func() string{
			func() string {
				return both("(%s "+pick(g, []string{"+", "-", "*", "/", "%%"})+" %s)", "numeric", "numeric")
			},
			func() string { return both("(%s "+pick(g, []string{"+", "-", "*", "/"})+" %s)", "numeric", "int") },
			func() string { return both("(- %s)", "numeric") },
			func() string { return both("(@ %s)", "numeric") },
			func() string { return both("(%s)::numeric", pick(g, []string{"int", "text"})) },
			func() string { return both("div(%s, %s)", "numeric", "numeric") },
			func() string {
				return both(pick(g, []string{"round", "trunc", "floor", "ceil", "ceiling", "sign"})+"(%s)", "numeric")
			},
			func() string {
				return both(pick(g, []string{"round", "trunc"})+"(%s, "+pick(g, []string{"0", "1", "2", "5", "-1", "-3"})+")", pick(g, []string{"numeric", "numeric", "int"}))
			},
			func() string {
				return both("extract("+pick(g, fields)+" from %s)", pick(g, []string{"date", "timestamp", "time", "interval", "timestamptz"}))
			},
		})()
	case "float8":
		return pick(g, []func() string{
			func() string { return both("(%s "+pick(g, []string{"+", "-", "*", "/"})+" %s)", "float8", "float8") },
			func() string { return both("(%s "+pick(g, []string{"+", "-", "*", "/"})+" %s)", "float8", "int") },
			func() string { return both("(|/ %s)", "float8") },
			func() string { return both("(- %s)", "float8") },
			func() string { return both("(%s)::float8", pick(g, []string{"int", "text"})) },
			func() string { return both("(%s * %s)::float8", "f4", "f4") },
			func() string {
				return both(pick(g, []string{"round", "trunc", "floor", "ceil", "ceiling", "sign"})+"(%s)", pick(g, []string{"float8", "int", "f4"}))
			},
			func() string {
				return both("date_part("+field+", %s)", pick(g, []string{"date", "timestamp", "time", "interval", "timestamptz"}))
			},
		})()
	case "f4":
		return both("(%s)", "f4")
	case "text":
		return pick(g, []func() string{
			func() string { return both("(%s || %s)", "text", pick(g, []string{"text", "int", "date"})) },
			func() string { return both(pick(g, []string{"lower", "upper"})+`(%s COLLATE "C")`, "text") },
			func() string { return both("concat(%s, %s, %s)", "text", "text", "int") },
			func() string {
				return both("(%s)::text", pick(g, []string{
					"int", "date", "timestamp", "time", "interval", "enum", "jsonb", "float8", "bytea", "name", "oid", "bit varying", "macaddr", "inet", "int4range", "numrange", "tsrange",
				}))
			},
			func() string { return both("(%s ->> %s)", "jsonb", "key") },
			func() string { return both("(%s #>> %s)", "jsonb", "path") },
			func() string { return both("(%s)["+pick(g, []string{"0", "1", "2", "i2"})+"]", "text[]") },
			func() string {
				return both(pick(g, []string{"left", "right"})+"(%s, "+pick(g, []string{"0", "1", "2", "-1", "-2", "i2", "i4", "-100"})+")", "text")
			},
			func() string {
				return both("substr(%s, "+pick(g, []string{"0", "1", "2", "-1", "i2", "i4"})+")", "text")
			},
			func() string {
				return both("substr(%s, "+pick(g, []string{"0", "1", "2", "-1", "i2", "i4"})+", "+pick(g, []string{"0", "1", "2", "i2", "i4", "1000"})+")", "text")
			},
			func() string {
				return both("substring(%s from "+pick(g, []string{"1", "2"})+pick(g, []string{"", " for 1", " for 2"})+")", "text")
			},
			func() string { return both(pick(g, []string{"btrim", "ltrim", "rtrim", "reverse"})+"(%s)", "text") },
			func() string { return both("jsonb_typeof(%s)", "jsonb") },
			func() string { return both(pick(g, []string{"btrim", "ltrim", "rtrim"})+"(%s, 'abé')", "text") },
			func() string {
				return both("trim("+pick(g, []string{"", "leading ", "trailing ", "both "})+"'a %%' from %s)", "text")
			},
			func() string {
				return both("split_part(%s, %s, "+pick(g, []string{"1", "2", "3", "-1", "-2", "-3"})+")", "text", pick(g, []string{"text", "separator"}))
			},
			func() string {
				return both("replace(%s, "+pick(g, []string{"'a'", "'b'", "''", "'é'", "' '"})+", "+pick(g, []string{"'a'", "'xy'", "''", "'日'"})+")", "text")
			},
		})()
	case "separator":
		return pick(g, []string{"'a'", "' '", "''", "'日'", "v"})
	case "key":
		return pick(g, []string{"'a'", "'b'", "0", "-1", "1", "'é'", "i2", "v"})
	case "path":
		return pick(g, []string{"'{a}'", "'{}'", "'{0}'", "'{a,b,2,c}'", "'{a,b,-2}'", "'{1,1}'", "'{b,NULL}'", "at", "ARRAY['a', v]", "ARRAY[t, 'a']", "'{\" +0\"}'", "'{0x0}'", "'{{a},{b}}'"})
	case "date":
		return pick(g, []func() string{
			func() string { return both("(%s "+sign+" %s)", "date", "small") },
			func() string { return both("(%s)::date", "timestamp") },
		})()
	case "small":
		return pick(g, []string{"1", "30", "-365", "i2", "i4", "(i2 + 1)", "40000"})
	case "timestamp":
		return pick(g, []func() string{
			func() string { return both("(%s "+sign+" %s)", pick(g, []string{"timestamp", "date"}), "interval") },
			func() string {
				return both("(%s AT TIME ZONE "+pick(g, []string{"'UTC'", "'+02:00'", "'-03:30'", "'-11'"})+")", "timestamptz")
			},
			func() string { return both("(%s)::timestamp", "date") },
			func() string { return both("(%s + %s)", "date", "time") },
			func() string { return both("date_trunc("+field+", %s)", "timestamp") },
		})()
	case "timestamptz":
		return pick(g, []func() string{
			func() string { return both("(%s "+sign+" %s)", "timestamptz", "interval") },
			func() string {
				return both("(%s AT TIME ZONE "+pick(g, []string{"'utc'", "'+02'", "'-11:30'"})+")", "timestamp")
			},
			func() string { return both("date_trunc("+field+", %s, 'UTC')", "timestamptz") },
		})()
	case "time":
		return both("(%s "+sign+" %s)", "time", "interval")
	case "interval":
		return pick(g, []func() string{
			func() string { return both("(%s "+sign+" %s)", "interval", "interval") },
			func() string { return both("(%s - %s)", "timestamp", pick(g, []string{"timestamp", "date"})) },
			func() string { return both("(%s - %s)", "timestamptz", "timestamptz") },
			func() string { return both("(%s - %s)", "time", "time") },
			func() string { return both("(- %s)", "interval") },
			func() string { return both("(%s * "+pick(g, []string{"2", "-3", "0", "7"})+")", "interval") },
			func() string {
				return both(pick(g, []string{"justify_days", "justify_hours", "justify_interval"})+"(%s)", "interval")
			},
			func() string { return both("(%s)::interval", "time") },
		})()
	case "int[]":
		return pick(g, []func() string{
			func() string { return both("(%s || %s)", "int[]", "int[]") },
			func() string { return both("(%s || %s)", "int[]", "i4") },
			func() string { return both("array_prepend(%s, %s)", "i4", "int[]") },
			func() string { return both("ARRAY[%s, %s, NULL]", "i4", "i4") },
			func() string { return both("ARRAY['7', %s, NULL]::int[]", "int") },
			func() string {
				return both("(%s)["+pick(g, []string{"1:2", "0:1", ":2", "2:", ":", "i2:i4", "1:1][2"})+"]", "int[]")
			},
		})()
	case "text[]":
		return pick(g, []func() string{
			func() string { return both("(%s || %s)", "text[]", "text[]") },
			func() string { return both("array_append(%s, %s)", "text[]", "text") },
			func() string { return both("ARRAY[%s, %s]", "text", "text") },
			func() string { return both("ARRAY['a b', %s]::text[]", pick(g, []string{"text", "int", "date"})) },
			func() string { return both("(%s)::text[]", "int[]") },
			func() string { return both("(%s)["+pick(g, []string{"1:2", ":2", ":1][1:"})+"]", "text[]") },
		})()
	case "jsonb":
		return pick(g, []func() string{
			func() string { return both("(%s -> %s)", "jsonb", "key") },
			func() string { return both("(%s #> %s)", "jsonb", "path") },
			func() string {
				return both("(%s)"+pick(g, []string{"['a']", "[0]", "['a']['b'][-1]", "['0'][1]", "[NULL]", "[1]['a']"}), "jsonb")
			},
		})()
	case "bool":
		return g.test(depth)
	}
	return g.atom(kind)
}

// test makes a random condition from expressions.
func (g *generator) test(depth int) string {
	kind := pick(g, []string{
		"int", "int", "numeric", "numeric", "float8", "text", "text", "date", "timestamp", "timestamptz", "time", "interval", "interval", "int[]", "text[]", "jsonb", "enum",
		"bytea", "name", "oid", "bit varying", "macaddr", "macaddr8", "inet", "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange",
	})
	sub := func(kind string) string {
		s := g.expression(kind, depth-1)
		if kind == "text" { // the user's text is ordered by the database's collation otherwise
			s = "(" + s + byteOrder + ")"
		}
		return s
	}
	not := pick(g, []string{"", "NOT "})
	equality := onlyEqual(kind)
	switch n := g.IntN(22); {
	case n == 21:
		return g.rangeTest(sub)
	case n == 20:
		return "(" + pick(g, []func() string{
			func() string {
				return pick(g, []string{"pt", "ci", "js", "rg", "raw", "ip"}) + " IS " + not + "NULL"
			},
			func() string { return "ci::text = " + sub("text") },
			func() string { return "lower(ci::text" + byteOrder + ") LIKE " + quoteLiteral(pick(g, patterns)) },
			func() string { return "js::text IN ('1', '{}', " + sub("text") + ")" },
			func() string {
				return sub("inet") + " = ANY (" + pick(g, []string{"aip", "'{10.0.0.1,::1}'", "'{10.0.0.0/8,NULL}'::inet[]"}) + ")"
			},
			func() string {
				return "net " + pick(g, []string{"= ANY ", "<> ALL "}) + "('{10.0.0.1,::1,10.0.0.0/8}')"
			},
			func() string {
				return "nm " + pick(g, []string{"= ANY ", "<> ALL ", "< ANY "}) + "(" + pick(g, []string{"'{a,ab}'", "at"}) + ")"
			},
			func() string {
				return "raw " + pick(g, []string{"= ANY ", "<> ALL ", ">= ALL "}) + "(" + pick(g, []string{`E'{"\\\\x00",NULL}'`, "araw", "'{}'"}) + ")"
			},
			func() string { return "araw " + pick(g, []string{"@> ", "&& ", "= "}) + `E'{"\\\\x00"}'` },
			func() string { return "bv " + pick(g, []string{"= ANY ", "<> ALL ", "> ANY "}) + "('{1,101,NULL}')" },
			func() string { return "rn = ANY ('{\"[1.00,5)\",empty}')" },
		})() + ")"
	case n == 19:
		return "(" + sub("text") + pick(g, []string{" ~ ", " ~* ", " !~ ", " !~* "}) + quoteLiteral(g.regex(2)) + ")"
	case n == 18:
		return "(" + pick(g, []func() string{
			func() string { return sub("text") + " ^@ " + sub("text") },
			func() string { return "starts_with(" + sub("text") + ", " + sub("text") + ")" },
			func() string { return pick(g, []string{"t", "v", "c"}) + " ^@ " + quoteLiteral(pick(g, texts)) },
		})() + ")"
	case n < 2:
		return "(" + g.test(depth-1) + pick(g, []string{" AND ", " OR ", " = ", " IS DISTINCT FROM "}) + g.test(depth-1) + ")"
	case n == 2:
		return "(NOT " + g.test(depth-1) + ")"
	case n == 3:
		return "(" + sub(kind) + " IS " + not + "NULL)"
	case n < 6:
		return "(" + sub(kind) + " IS " + not + "DISTINCT FROM " + sub(kind) + ")"
	case n == 6 && !equality:
		return "(" + sub(kind) + " " + not + "BETWEEN " + pick(g, []string{"", "SYMMETRIC "}) + sub(kind) + " AND " + sub(kind) + ")"
	case n == 7:
		return "(" + sub(kind) + " " + not + "IN (" + g.atom(kind) + ", " + g.atom(kind) + ", " + sub(kind) + "))"
	case n == 8:
		return "(" + sub("text") + " " + not + pick(g, []string{"LIKE ", "ILIKE "}) + pick(g, []string{sub("text"), quoteLiteral(pick(g, patterns))}) + ")"
	case n == 9:
		a := pick(g, []string{"int", "text"})
		return "(" + sub(a) + " " + g.operator() + pick(g, []string{" ANY (", " ALL ("}) + sub(a+"[]") + "))"
	case n == 10:
		a := pick(g, []string{"int[]", "text[]"})
		return "(" + sub(a) + pick(g, []string{" @> ", " <@ ", " && "}) + sub(a) + ")"
	case n == 11:
		return "(" + sub("jsonb") + pick(g, []string{" @> ", " <@ "}) + pick(g, []string{sub("jsonb"), quoteLiteral(pick(g, documents))}) + ")"
	case n == 12 && g.IntN(2) == 0: // which an index finds
		return "(" + not + pick(g, []func() string{
			func() string { return "j @> " + quoteLiteral(pick(g, documents)) },
			func() string { return quoteLiteral(pick(g, documents)) + " <@ j" },
			func() string { return "j ->> " + g.key() + " = " + quoteLiteral(pick(g, jsonTexts)) },
			func() string {
				return "j ->> " + g.key() + " IN (" + quoteLiteral(pick(g, jsonTexts)) + ", " + quoteLiteral(pick(g, jsonTexts)) + ")"
			},
			func() string { return "j -> " + g.key() + " = " + quoteLiteral(pick(g, documents)) },
			func() string { return "j ->> " + g.key() + " IS NOT DISTINCT FROM " + quoteLiteral(pick(g, jsonTexts)) },
			func() string { return "j ? " + g.key() },
			func() string { return "j @? " + quoteLiteral(g.jsonPath("$", 2)) },
			func() string { return "j @@ " + quoteLiteral(g.jsonCondition("$", 2)) },
			func() string {
				return "j @@ " + quoteLiteral("$."+pick(g, []string{"a", "b", "é", "n", "x"})+pick(g, []string{"", "[*]", "[0]", ".b"})+" == "+pick(g, documents))
			},
			func() string { return "jsonb_path_exists(j, " + quoteLiteral(g.jsonPath("$", 2)) + "::jsonpath)" },
			func() string {
				return "j " + pick(g, []string{"?|", "?&"}) + " ARRAY[" + g.key() + ", " + g.key() + "]"
			},
		})() + ")"
	case n == 12:
		return "(" + sub("jsonb") + pick(g, []string{" ? 'a'", " ? v", " ?| ARRAY['a','b']", " ?& at", " @? '$.a'", " @@ '$.b[*] > 1'::jsonpath"}) + ")"
	case n == 13 && g.IntN(2) == 0:
		return "(" + g.orderedLabels() + ")"
	case n == 13:
		return "(" + pick(g, []string{"m = 'ok'", "m <> m2", "m IN ('sad', 'happy')", "m::text = 'it''s'", "m IS DISTINCT FROM m2", "'ok' = m", "coalesce(m, 'ok') = m2", "m = ANY ('{ok,sad}')", "m <> ALL ('{ok,NULL}')", "m = ANY ('{\"it''s\"}'::mood[])", "rg IS NULL", "rg IS NOT NULL", "CASE WHEN b THEN m ELSE m2 END = 'ok'"}) + ")"
	case n == 14:
		return pick(g, []string{"(i4::bool)", "(b::int = 1)", "(b::text = 'true')", "(t::bool)", "(u::text < v)", "(t::uuid = u)", "(t::date > d)", "(t::timestamp < ts)", "(j = j2)", "(ats = '{}')"})
	}
	op := g.operator()
	if equality {
		op = pick(g, []string{"=", "<>"})
	}
	return "(" + sub(kind) + " " + op + " " + sub(kind) + ")"
}

// jsonTexts are what ->> gives, and what it does not.
var jsonTexts = []string{"1", "1.0", "1.00", "abc", "7", "null", "true", "[1, 1]", `{"b": [1, 2, {"c": "x"}]}`, "x", "2024-01-01", "-12.50", "-12.5", "", `é`}

func (g *generator) key() string { return pick(g, []string{"'a'", "'b'", "'é'", "'n'", "'x'"}) }

// orderedLabels asks for the order of labels.
func (g *generator) orderedLabels() string {
	label := func() string { return quoteLiteral(pick(g, moods)) }
	value := func() string {
		return pick(g, []func() string{
			func() string { return "m" },
			func() string { return "m2" },
			label,
			func() string { return label() + "::mood" },
			func() string { return pick(g, []string{"greatest", "least"}) + "(m, " + label() + ")" },
			func() string { return pick(g, []string{"greatest", "least"}) + "(" + label() + ", NULL, m2, m)" },
			func() string {
				return pick(g, []string{"greatest", "least"}) + "(" + label() + "::mood, " + label() + ", NULL)"
			},
			func() string { return "coalesce(m, " + label() + ")" },
			func() string { return "nullif(m2, " + label() + ")" },
			func() string { return "CASE WHEN b THEN m ELSE " + label() + " END" },
		})()
	}
	not := pick(g, []string{"", "NOT "})
	return pick(g, []func() string{
		func() string { return "m " + g.operator() + " " + label() },
		func() string { return label() + " " + g.operator() + " m2" },
		func() string { return value() + " " + g.operator() + " " + value() },
		func() string { return "m " + not + "BETWEEN " + label() + " AND " + value() },
		func() string { return value() + " " + not + "BETWEEN SYMMETRIC m AND " + label() },
		func() string {
			return "m2 " + g.operator() + pick(g, []string{" ANY (", " ALL ("}) + pick(g, []string{"'{ok,NULL}'", "'{sad,happy}'::mood[]", "'{}'", `'{"it''s"}'`}) + ")"
		},
		func() string { return "(m, i4) " + g.operator() + " (" + label() + ", 7)" },
		func() string { return "CASE WHEN m " + g.operator() + " " + label() + " THEN i4 ELSE i2 END > 1" },
	})()
}

// onlyEqual tells the types without an order.
func onlyEqual(kind string) bool {
	return kind == "jsonb" || kind == "inet" || strings.HasSuffix(kind, "range") || strings.HasSuffix(kind, "]")
}

// rangeTest makes a random condition on ranges.
func (g *generator) rangeTest(sub func(kind string) string) string {
	r := pick(g, [][2]string{{"int4range", "i4"}, {"int8range", "i8"}, {"numrange", "numeric"}, {"daterange", "date"}, {"tsrange", "timestamp"}, {"tstzrange", "timestamptz"}})
	element := sub(r[1])
	if r[1] == "i4" {
		element = pick(g, []string{"i4", "di", "7", "(i4 + 1)", "3"})
	}
	return "(" + pick(g, []func() string{
		func() string { return sub(r[0]) + pick(g, []string{" @> ", " <@ ", " && ", " = ", " <> "}) + sub(r[0]) },
		func() string { return sub(r[0]) + " @> " + element },
		func() string { return element + " <@ " + sub(r[0]) },
		func() string { return element + " <@ " + g.constantOf(r[0]) },
		func() string { return "NOT " + pick(g, []string{"i4", "di"}) + " <@ " + g.constantOf("int4range") },
		func() string { return pick(g, []string{"n", "dn", "price"}) + " <@ " + g.constantOf("numrange") },
		func() string { return "d <@ " + g.constantOf("daterange") },
		func() string { return "dr @> d" },
		func() string {
			return sub(r[0]) + pick(g, []string{" @> ", " <@ ", " && "}) + quoteLiteral(pick(g, g.poolOf(r[0])))
		},
	})() + ")"
}
