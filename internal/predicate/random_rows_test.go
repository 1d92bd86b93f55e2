package predicate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// testColumn is a column of the random table, with the values its rows and its constants are drawn from.
type testColumn struct {
	name, sqlType string
	oid           uint32
	mod           int32
	pool          []string
	others        []string // columns and types of other kinds that it may be compared with
	domain        string   // over the type, of which the column is
}

// column is what clauses know of it.
func (c testColumn) column() Column {
	out := Column{Name: c.name, TypeOID: c.oid, TypeMod: c.mod, Domain: c.domain != ""}
	switch c.sqlType {
	case "mood":
		out.TypeName, out.Enum = "mood", moods
	case "point2", "citext":
		out.TypeName, out.Composite = c.sqlType, c.sqlType == "point2"
	}
	return out
}

var (
	ints  = []string{"0", "1", "-1", "2", "7", "42", "100", "127", "-128", "32767", "-32768"}
	int4s = append([]string{"2147483647", "-2147483648", "16777217", "40000"}, ints...)
	int8s = append([]string{"9223372036854775807", "-9223372036854775808", "9007199254740993", "9007199254740992", "3000000000"}, int4s...)
	// Values on which binary and decimal arithmetic part.
	fractions = []string{"0", "1.1", "1.10", "-1.5", "0.1", "0.3", "2.5", "100", "42", "7.0", "0.30000000000000004", "0.00", "-0.0", "NaN"}
	numerics  = append([]string{
		"Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "123456789012345678901234567890.5", "9007199254740993",
		"9223372036854775808", "0.0000000000000000000001", "100000000000000000000", "99.999", "99.99", "100.00",
	}, fractions...)
	floats = append([]string{
		"Infinity", "-Infinity", "-0", "1.5e300", "5e-324", "1e-45", "16777217", "16777216", "9007199254740993", "1e-7", "3.4028235e38",
	}, fractions...)
	float4s = append([]string{"Infinity", "-Infinity", "-0", "1e-45", "16777216", "3.4028235e38", "1.5"}, fractions...)
	texts   = []string{
		"", " ", "a", "A", "b", "ab", "aB", "ab ", "ab  ", " ab", "a%b", "a_b", `a\b`, "a\nb", "it's", "é", "É", "aé", "日本", "😀", "z", "Z",
		"ß", "İ", "a b", "1", "true", "\u007f", "\ufffd", "aab", "aaab", "%", "_", `\`, "a!b", "K",
	}
	shortTexts = []string{"", "a", "A", "ab", "aB", "a ", "é", "日本", "a%b", "a_b", "it's", "a\nb", "z", " a"}
	patterns   = []string{
		"%", "_", "", "a%", "%a", "%b%", "a_b", "a__", "__", "%_", "_%", "%a%b%", `a\%b`, `a\_b`, `a\\b`, "a%b", "é", "É%", "A%", "%B", "_é", "日_",
		"%a_b", "ab ", "ab%", "%  ", "a\n_", "%aab", "%a_%", "___%", `\%`, "%%", "ß", "k", "%!b", "_b%", "i%",
	}
	uuids = []string{
		"00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"9f000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
	}
	dates = []string{
		"2000-01-01", "1999-12-31", "2024-02-29", "2024-12-31", "infinity", "-infinity", "0044-03-15 BC", "4714-11-24 BC", "5874897-12-31",
		"294276-12-31", "294277-01-01", "0001-01-01", "0001-12-31 BC", "1900-03-01", "2024-02-29T23:30:00.000Z",
	}
	timestamps = []string{
		"2000-01-01 00:00:00", "1999-12-31 23:59:59.999999", "2024-02-29 12:34:56.7", "infinity", "-infinity", "0044-03-15 12:00:00 BC",
		"294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC", "2024-12-31 00:00:00", "2024-12-31 00:00:00.000001", "0001-12-31 23:00:00 BC",
		"2024-02-29T12:34:56.700Z", "2024-12-31T00:00:00.000000500+00:00",
	}
	timestampTZs = []string{
		"2000-01-01 00:00:00+00", "2000-01-01T02:30:00+02:30", "1999-12-31 23:59:59.999999Z", "infinity", "-infinity", "2024-02-29 12:34:56.7-11",
		"0044-03-15 12:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "2024-12-31 00:00", "2024-12-31 01:00:00+01", "2024-02-29T23:34:56.700000499Z",
	}
	bools     = []string{"t", "f"}
	times     = []string{"00:00:00", "23:59:59.999999", "24:00:00", "12:30:00", "01:02:03.4"}
	intervals = []string{
		"0", "1 day", "24:00:00", "-1 day", "1 mon", "30 days", "1 year 2 mons -3 days 04:05:06.7", "-1 mons +29 days 25:00:00", "00:00:00.000001",
		"-00:00:01", "11 mons 31 days", "1 year", "100 years", "-400 days -23:59:59", "1000000:00:00",
	}
	intArrays  = []string{"{}", "{1}", "{1,2}", "{2,1}", "{1,2,NULL}", "{NULL}", "{{1,2},{3,4}}", "[0:1]={1,2}", "[2:4]={7,42,1}", "[2147483640:2147483641]={1,2}", "{100,7,1,1}"}
	textArrays = []string{"{}", "{a}", "{a,b}", `{"a b","",NULL}`, `{"a\\b","it's","\"q\"","{x}","NULL"}`, "{{a,é},{日本,b}}", "{ab,AB}", "[2:2]={a}"}

	numericArrays = []string{"{}", "{1.0,2.50}", "{1,2.5,NaN}", "{Infinity,0,NULL}", "{0.1,0.30}", "{{1,2},{3,4}}"}
	stampArrays   = []string{"{}", "{2024-02-29 12:34:56.7,infinity}", "{2000-01-01 00:00:00,NULL}"}
	documents     = []string{
		`{}`, `[]`, `null`, `1`, `1.0`, `"a"`, `"é\n\"\\u0001"`, `{"a": 1}`, `{"a": 1.00, "b": null}`, `{"a": {"b": [1, 2, {"c": "x"}]}}`, `["a", "b", 1, null]`,
		`[1, [2, 3], {"a": true}]`, `{"b": "7", "a": "abc"}`, `{"é": [], "a": [1, 1]}`, `true`, `[[1, 2]]`, `{"a": "2024-01-01", "n": -12.50}`, `[{"a": 1}, {"a": 2, "b": 3}]`,
	}
	ranges      = []string{"empty", "[1,5)", "(,)", "[3,)", "(,0]", "[1,1]", "(1,2)", "[-3,7]", "[42,1000)", "[1,2)", "[2,7)"}
	numRanges   = []string{"empty", "[1,5)", "[1.0,5.00)", "(1,5)", "(,)", "[3,)", "(,0.1]", "[1.1,1.10]", "(1,2)", "[-2.5,NaN]", "[-Infinity,Infinity)", "[0.1,Infinity]", "(1,1]"}
	dateRanges  = []string{"empty", "[2000-01-01,2024-02-29]", "(2000-01-01,2024-03-01)", "(,)", "[-infinity,2024-01-01)", "(-infinity,infinity]", "[0044-03-15 BC,infinity)", "[2024-02-29,)", "(1999-12-31,2000-01-01)"}
	stampRanges = []string{"empty", "[2000-01-01 00:00:00,2024-02-29 12:34:56.7]", "(,)", "(1999-12-31 23:59:59.999999,)", `["2024-03-31 01:30:00",infinity)`, "[-infinity,0044-03-15 12:00:00 BC)", "(2000-01-01,2000-01-01 00:00:00.000001)"}
	zonedRanges = []string{"empty", "[2000-01-01 00:00:00+00,2024-03-31 01:30:00+01]", "(,)", "(1999-12-31 23:59:59.999999Z,)", "[-infinity,2000-01-01T02:30:00+02:30)", "[2024-10-27 02:30:00+02,infinity]"}
	bytesTexts  = []string{`\x`, `\x00`, `\xDEADbeef`, `\xde ad`, `abc`, `a\\b`, `\000\377`, `\x616263`, `\xff00`, `é`}
	nameTexts   = []string{"", "a", "A", "ab", "é", "it's", " a", "pg_class", strings.Repeat("é", 40), strings.Repeat("x", 62) + "é", "日本"}
	oids        = []string{"0", "1", "7", "42", "4294967295", "2147483648", "16384"}
	bits        = []string{"", "0", "1", "10", "101", "1010", "00000000", "10000000", "0000000", "11111111", "x5a", "b01"}
	macs        = []string{"08:00:2b:01:02:03", "08-00-2b-01-02-03", "08002b:010203", "0800.2b01.0203", "08002B010204", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"}
	macs8       = []string{"08:00:2b:01:02:03:04:05", "08-00-2b-ff-fe-01-02-03", "08002b0102030405", "ff:ff:ff:ff:ff:ff:ff:ff", "08:00:2b:01:02:03"}
	hosts       = []string{"10.0.0.1", "10.0.0.1/32", "10.0.0.1/8", "10.0.0.0/8", "10.0.0.0/16", "0.0.0.0/0", "192.168.0.1/24", "::1", "::1/128", "::", "::/0", "2001:db8::1", "2001:DB8:0:0::1/64", "::ffff:10.0.0.1", "::10.0.0.1", "1:0:0:2:0:0:0:3", "fe80::1:0:0:1", "::2", "::1:2", "0:0:0:0:0:ffff:0:0", "::ffff:0:0/96"}
	nets        = []string{"10.0.0.1/32", "10.0.0.0/8", "10.0.0.0/16", "0.0.0.0/0", "::1/128", "::/0", "2001:db8::/32", "192.168.1.0/24", "10.0.0.1"}
	points      = []string{"(,)", "(1,)", "(1,a)", `(,"")`, `("1","a ""b"", c")`, `(1,"(x,y)")`, `(1,",,")`, `(,",")`, `(,"\\")`}
	moods       = []string{"sad", "ok", "happy", "it's"}
)

func testColumns() []testColumn {
	number := []string{"i2", "i4", "i8", "n", "price", "smallint", "integer", "bigint", "numeric"}
	float := []string{"f4", "f8", "i4", "i8", "price", "real", "double precision", "integer", "bigint"}
	text := []string{"t", "v", "c", "text", "varchar", "bpchar"}
	cols := []testColumn{
		{"b", "boolean", 16, -1, bools, []string{"b2", "boolean"}, ""},
		{"b2", "boolean", 16, -1, bools, []string{"b", "boolean"}, ""},
		{"i2", "smallint", 21, -1, ints, append(number, float...), ""},
		{"i4", "integer", 23, -1, int4s, append(number, float...), ""},
		{"i8", "bigint", 20, -1, int8s, append(number, float...), ""},
		{"f4", "real", 700, -1, float4s, float, ""},
		{"f8", "double precision", 701, -1, floats, float, ""},
		{"n", "numeric", 1700, -1, numerics, number, ""},
		{"price", "numeric(12,2)", 1700, 12<<16 | 2 + 4, fractions, append(number, float...), ""},
		{"t", "text", 25, -1, texts, text, ""},
		{"v", "varchar(8)", 1043, 12, texts, text, ""},
		{"c", "char(4)", 1042, 8, shortTexts, text, ""},
		{"u", "uuid", 2950, -1, uuids, []string{"u2", "uuid"}, ""},
		{"u2", "uuid", 2950, -1, uuids, []string{"u", "uuid"}, ""},
		{"d", "date", 1082, -1, dates, []string{"d", "ts", "date", "timestamp"}, ""},
		{"ts", "timestamp", 1114, -1, timestamps, []string{"d", "ts", "date", "timestamp"}, ""},
		{"tz", "timestamptz", 1184, -1, timestampTZs, []string{"tz2", "timestamptz"}, ""},
		{"tz2", "timestamptz", 1184, -1, timestampTZs, []string{"tz", "timestamptz"}, ""},
		{"T x\"y", "text", 25, -1, texts, text, ""},
		{"tm", "time", 1083, -1, times, []string{"tm", "time"}, ""},
		{"iv", "interval", 1186, -1, intervals, []string{"iv", "interval"}, ""},
		{"iv2", "interval", 1186, -1, intervals, []string{"iv", "interval"}, ""},
		{"ai", "integer[]", 1007, -1, intArrays, nil, ""},
		{"al", "bigint[]", 1016, -1, intArrays, nil, ""},
		{"at", "text[]", 1009, -1, textArrays, nil, ""},
		{"av", "varchar[]", 1015, -1, textArrays, nil, ""},
		{"an", "numeric[]", 1231, -1, numericArrays, nil, ""},
		{"af", "double precision[]", 1022, -1, numericArrays, nil, ""},
		{"ats", "timestamp[]", 1115, -1, stampArrays, nil, ""},
		{"j", "jsonb", 3802, -1, documents, nil, ""},
		{"j2", "jsonb", 3802, -1, documents, nil, ""},
		{"m", "mood", 99999, -1, moods, nil, ""},
		{"m2", "mood", 99999, -1, moods, nil, ""},
		{"di", "integer", 23, -1, int4s, append(number, float...), "whole"},
		{"dn", "numeric", 1700, -1, numerics, number, "amount"},
		{"dt", "text", 25, -1, texts, text, "label"},
		{"rg", "int4range", 3904, -1, ranges, []string{"rg2", "int4range"}, ""},
		{"rg2", "int4range", 3904, -1, ranges, []string{"rg", "int4range"}, ""},
		{"rl", "int8range", 3926, -1, ranges, []string{"rl", "int8range"}, ""},
		{"rn", "numrange", 3906, -1, numRanges, []string{"rn", "numrange"}, ""},
		{"rd", "daterange", 3912, -1, dateRanges, []string{"rd", "daterange"}, ""},
		{"rts", "tsrange", 3908, -1, stampRanges, []string{"rts", "tsrange"}, ""},
		{"rtz", "tstzrange", 3910, -1, zonedRanges, []string{"rtz", "tstzrange"}, ""},
		{"dr", "daterange", 3912, -1, dateRanges, []string{"rd", "daterange"}, "period"},
		{"raw", "bytea", 17, -1, bytesTexts, []string{"raw", "bytea"}, ""},
		{"nm", "name", 19, -1, nameTexts, []string{"nm", "name", "t", "v", "text"}, ""},
		{"od", "oid", 26, -1, oids, []string{"od", "oid"}, ""},
		{"bt", "bit(3)", 1560, 3, []string{"101", "000", "x7", "b010"}, []string{"bv", "bit varying"}, ""},
		{"bv", "bit varying(8)", 1562, 8, bits, []string{"bt", "bit varying"}, ""},
		{"mc", "macaddr", 829, -1, macs, []string{"mc", "macaddr"}, ""},
		{"mc8", "macaddr8", 774, -1, macs8, []string{"mc8", "macaddr8"}, ""},
		{"ip", "inet", 869, -1, hosts, []string{"ip", "net", "inet", "cidr"}, ""},
		{"net", "cidr", 650, -1, nets, []string{"ip", "net", "inet", "cidr"}, ""},
		{"aip", "inet[]", 1041, -1, []string{"{}", "{10.0.0.1,NULL,::1}", "{10.0.0.0/8}", "{::ffff:10.0.0.1,10.0.0.1/32}"}, nil, ""},
		{"araw", "bytea[]", 1001, -1, []string{"{}", `{"\\x00",NULL}`, `{"\\xff00","\\x"}`}, nil, ""},
		{"pt", "point2", 99998, -1, points, nil, ""},
		{"ci", "citext", 99997, -1, texts, nil, ""},
		{"js", "json", 114, -1, documents, nil, ""},
	}
	return cols
}

// generator makes random clauses in the user's language.
type generator struct {
	*rand.Rand

	columns []testColumn
	params  []*string
	flat    bool // constants are arrays of one dimension only
}

func (g *generator) column() testColumn {
	for {
		if c := pick(g, g.columns); c.others != nil {
			return c
		}
	}
}

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

func (g *generator) clause(depth int) string {
	if depth == 0 || g.IntN(5) == 0 {
		return g.leaf()
	}
	switch g.IntN(9) {
	case 0, 1:
		return "(" + g.clause(depth-1) + " AND " + g.clause(depth-1) + ")"
	case 2, 3:
		return "(" + g.clause(depth-1) + " or " + g.clause(depth-1) + " OR " + g.clause(depth-1) + ")"
	case 4, 5:
		return "(NOT " + g.clause(depth-1) + ")"
	case 6:
		return "(" + g.clause(depth-1) + " IS " + pick(g, []string{"", "NOT "}) + pick(g, []string{"TRUE", "FALSE", "UNKNOWN", "NULL"}) + ")"
	case 7:
		return "(" + g.clause(depth-1) + " " + g.operator() + " " + g.clause(depth-1) + ")"
	}
	return g.leaf()
}

// operatorOn is one that there is for the type.
func (g *generator) operatorOn(c testColumn) string {
	if k, _ := value.KindOfOID(c.oid); k.IsRange() || k.IsNetwork() {
		return pick(g, []string{"=", "<>"})
	}
	return g.operator()
}

func (g *generator) operator() string {
	return pick(g, []string{"=", "<>", "!=", "<", "<=", ">", ">="})
}

func (g *generator) leaf() string {
	c := g.column()
	name := quoteIdent(c.name)
	if g.IntN(4) == 0 {
		name = `"public"."rows".` + name
	}
	not := pick(g, []string{"", "NOT "})
	n := g.IntN(14)
	if k, _ := value.KindOfOID(c.oid); n == 4 && !k.IsOrdered() {
		n = 2
	}
	switch n {
	case 0:
		return "(" + name + " IS " + not + "NULL)"
	case 1:
		return pick(g, []string{"b", "TRUE", "FALSE", "NULL", "'t'", "rows.b2"})
	case 2, 3:
		return "(" + name + " " + not + "IN (" + g.list(c) + "))"
	case 4:
		return "(" + name + " " + not + "BETWEEN " + g.operand(c) + " AND " + g.operand(c) + ")"
	case 5, 6:
		c = pick(g, []testColumn{g.named("t"), g.named("v"), g.named("c")})
		return "(" + c.name + " " + not + pick(g, []string{"LIKE ", "ILIKE "}) + g.pattern() + ")"
	case 7:
		return "(" + g.operand(c) + " " + g.operatorOn(c) + " " + name + ")"
	case 8:
		return "(" + quoteLiteral(pick(g, c.pool)) + "::" + bare(c.sqlType) + " " + g.operatorOn(c) + " " + g.constant(c.sqlType, c.pool) + ")"
	case 9:
		return g.rows()
	}
	return "(" + name + " " + g.operatorOn(c) + " " + g.operand(c) + ")"
}

// rows compares rows of two or three columns.
func (g *generator) rows() string {
	var columns []testColumn
	var names []string
	op := g.operator()
	for range 2 + g.IntN(5)/4 {
		c := g.column()
		if k, _ := value.KindOfOID(c.oid); !k.IsOrdered() {
			op = "="
		}
		columns, names = append(columns, c), append(names, quoteIdent(c.name))
	}
	row := func() string {
		var cells []string
		for _, c := range columns {
			cells = append(cells, g.operand(c))
		}
		return "(" + strings.Join(cells, ", ") + ")"
	}
	left := "(" + strings.Join(names, ", ") + ")"
	if g.IntN(2) == 0 {
		return "(" + left + " " + op + " " + row() + ")"
	}
	rows := []string{row()}
	for range g.IntN(3) {
		rows = append(rows, row())
	}
	return "(" + left + pick(g, []string{" IN (", " NOT IN ("}) + strings.Join(rows, ", ") + "))"
}

func (g *generator) list(c testColumn) string {
	items := make([]string, g.IntN(5)+1)
	for i := range items {
		items[i] = g.operand(c)
	}
	return strings.Join(items, ", ")
}

func (g *generator) pattern() string {
	p := pick(g, patterns)
	switch g.IntN(6) {
	case 0:
		return g.param(p)
	case 1:
		if !strings.Contains(p, "!") {
			return quoteLiteral(strings.ReplaceAll(p, `\`, "!")) + " ESCAPE '!'"
		}
	case 2:
		return quoteLiteral(p) + " ESCAPE ''"
	}
	return quoteLiteral(p)
}

// operand is something comparable with the column: mostly a constant of its type.
func (g *generator) operand(c testColumn) string {
	switch g.IntN(10) {
	case 0, 1:
		other := pick(g, c.others)
		if o := g.named(other); o.name != "" {
			return quoteIdent(o.name)
		}
		return g.constant(other, g.poolOf(other))
	case 2:
		if g.IntN(3) == 0 {
			return "NULL"
		}
	}
	return g.constant(c.sqlType, c.pool)
}

func (g *generator) constant(sqlType string, pool []string) string {
	value := pick(g, pool)
	quoted := quoteLiteral(value)
	switch g.IntN(7) {
	case 0:
		return g.param(value)
	case 1:
		return g.param(value) + "::" + bare(sqlType)
	case 2:
		return quoted + "::" + bare(sqlType)
	case 3:
		return "CAST(" + quoted + " AS " + bare(sqlType) + ")"
	}
	if sqlType == "oid" && g.IntN(2) == 0 {
		return value
	}
	if _, err := strconv.ParseFloat(value, 64); strings.ContainsAny(value, "0123456789") && (err == nil || strings.Contains(value, "e")) && g.isNumber(sqlType) {
		return value
	}
	return quoted
}

func (g *generator) isNumber(sqlType string) bool {
	k, ok := value.KindOfName(map[string]string{
		"smallint": "int2", "integer": "int4", "bigint": "int8", "numeric": "numeric", "real": "float4", "double precision": "float8",
	}[bare(sqlType)])
	return ok && k.IsNumber()
}

func (g *generator) param(value string) string {
	text := &value
	if g.IntN(12) == 0 {
		text = nil // NULL
	}
	g.params = append(g.params, text)
	return fmt.Sprintf("$%d", len(g.params))
}

func (g *generator) named(name string) testColumn {
	for _, c := range g.columns {
		if c.name == name {
			return c
		}
	}
	return testColumn{}
}

func (g *generator) poolOf(sqlType string) []string {
	for _, c := range g.columns {
		if bare(c.sqlType) == bare(sqlType) {
			return c.pool
		}
	}
	return shortTexts
}

// bare drops a length: a cast may not have one.
func bare(sqlType string) string {
	name, _, _ := strings.Cut(sqlType, "(")
	switch name {
	case "char":
		return "bpchar"
	case "bit":
		return "bit varying"
	}
	return name
}
