package predicate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func repeated(n int, join, format string, args ...any) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, append([]any{i}, args...)...)
	}
	return strings.Join(all, join)
}

// Clauses that would hold up all others for seconds are refused before they are stored.
func TestClausesThatCostTooMuchAreRefused(t *testing.T) {
	for name, where := range map[string]string{
		"patterns":                 repeated(520, " OR ", "t LIKE '%%x____%dxy%%'"),
		"patterns without case":    repeated(520, " OR ", "t ILIKE '%%a_%dxy%%'"),
		"folded texts":             repeated(1100, " OR ", "lower(t) = 'x%d'"),
		"patterns of an array":     "t LIKE ANY ('{" + repeated(900, ",", "%%%dx_y%%") + "}')",
		"documents":                repeated(3000, " OR ", "doc @> '[%d]'"),
		"one large document":       "doc @> '[" + repeated(3000, ",", "%d") + "]'",
		"keys":                     repeated(1000, " OR ", "doc ? 'k%d'"),
		"paths":                    repeated(500, " OR ", "doc ->> 'k%d' = 'a'"),
		"arrays":                   repeated(500, " OR ", "tags @> '{a,%d}'"),
		"one large array":          "tags && '{" + repeated(3000, ",", "a%d") + "}'",
		"elements":                 repeated(500, " OR ", "'a%d' = ANY (tags)"),
		"numbers read from texts":  repeated(300, " OR ", "t::int = %d"),
		"documents beside another": repeated(50, " OR ", "doc @> (doc -> 'a%d')"),
	} {
		_, err := Compile(where, nil, sample(), nil)
		if err == nil || !strings.Contains(err.Error(), "too much work") {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

// A constant in an expression is as long as what it is written out to be, which a short exponent says.
func TestLongConstantsAreRefusedInExpressions(t *testing.T) {
	for where, pos := range map[string]int{
		"n + 1e119000 > 0": 5, "n = 1 OR n - 1e119000 > 0": 14, "n - 1e-16000 > n": 5, "coalesce(n, 1e119000) = 1": 13, "n + '1e119000'::text::numeric > 0": 0,
		"nullif(1e119000, n) = 1": 8, "nullif('1e119000', n) = 1": 8, "n::text = 1e119000::text": 11, "n + 1e119000 > 0 OR " + repeated(2000, " OR ", "n + 1e119000 > %d"): 5,
	} {
		start := time.Now()
		_, err := Compile(where, nil, sample(), nil)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "more than 1000 digits") || pos != 0 && e.Pos != pos {
			t.Errorf("%.40s: %v", where, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%.40s: took %v", where, took)
		}
	}
	digits := strings.Repeat("7", 3000)
	for _, where := range []string{
		"n = 1e131071", "n < 1e131071", "n IN (1e131071, 1)", "n = ANY ('{1e131071,1}')", "n BETWEEN 1e-16383 AND 1e131071", "n + 1e900 > 0", "n + " + digits + " > 0",
		"n + 0e119000 > 0", "n + 1 IN (" + strings.Repeat("1e131071,", 5000) + "1)", "abs(n) < 1e1020", "n IS DISTINCT FROM 1e131071", "n + 1 < 1e119000",
	} {
		if _, err := Compile(where, nil, sample(), nil); err != nil {
			t.Errorf("%.40s: %v", where, err)
		}
	}
	for where, want := range map[string]bool{"n + 1 < 1e119000": true, "n + 1 > -1e119000": true, "n + 1 = 1e119000": false, "n IS DISTINCT FROM 1e131071": true, "n + 1 < 1e-16000": false} {
		if compile(t, where).Match(sampleRow()) != want {
			t.Errorf("%s is %v", where, !want)
		}
	}
	short, long := compile(t, "n + 1 > 0"), compile(t, "n + 1e900 > 0")
	if s, l := short.Steps(sampleRow()), long.Steps(sampleRow()); l < s+900 {
		t.Errorf("900 digits take %.0f steps, one takes %.0f", l, s)
	}
}

// Reading and printing long numbers takes a time that grows with the square of their digits.
func TestLongNumbersWeighTheirSquare(t *testing.T) {
	for _, where := range []string{"-n > 1", "abs(n) > 1", "n::int = 1", "round(n) = 1", "round(n, 2) = 1", "floor(n) = 1", "ceil(n) = 1", "trunc(n) = 1", "sign(n) = 1"} {
		p := compile(t, where)
		steps := func(digits int) float64 {
			row := sampleRow()
			row[7] = []byte(strings.Repeat("7", digits)) // n
			return p.Steps(row)
		}
		if one, two := steps(60_000), steps(120_000); two < 3*one {
			t.Errorf("%s: 60,000 digits take %.0f steps, twice as many %.0f", where, one, two)
		}
	}
}

// What people ask for is far from the limits.
func TestClausesOfPeopleCostLittle(t *testing.T) {
	for name, where := range map[string]string{
		"a search":        repeated(50, " OR ", "t ILIKE '%%word%d%%' OR v ILIKE '%%word%d%%'", 1),
		"a list":          "id IN (" + repeated(9000, ",", "%d") + ")",
		"a list of texts": "t IN (" + repeated(3000, ",", "'name %d'") + ")",
		"alternatives":    repeated(2000, " OR ", "(id = %d AND flag)"),
		"tags":            "tags && '{" + repeated(50, ",", "tag%d") + "}'",
		"settings":        repeated(20, " AND ", "(doc ->> 'k%d')::int > 3"),
		"containment":     repeated(20, " OR ", `doc @> '{"a": {"b": [1, %d]}}'`),
		"arithmetic":      repeated(50, " AND ", "n * price + %d > f8::numeric"),
	} {
		p, err := Compile(where, nil, sample(), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Carefree() < 4<<10 {
			t.Errorf("%s: rows of %d bytes are too large for it", name, p.Carefree())
		}
	}
}

// What a clause is said to cost is not less than what it takes.
func TestClausesTakeNoMoreThanTheyAreSaidTo(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time, which the race detector takes several times of; not in -short")
	}
	row := func(column int, text string) [][]byte {
		r := make([][]byte, 40)
		r[column] = []byte(text)
		return r
	}
	const size = 20_000
	a := strings.Repeat("a", size)
	for name, test := range map[string]struct {
		where string
		row   [][]byte
	}{
		"patterns":              {repeated(100, " OR ", "t LIKE '%%____%dxy%%'"), row(9, a)},
		"patterns with _":       {repeated(60, " OR ", "t LIKE '%%a_a_a_%dxy%%'"), row(9, a)},
		"long patterns with _":  {repeated(20, " OR ", "t LIKE '%%a_"+strings.Repeat("a", 200)+"%dxy%%'"), row(9, a)},
		"without case":          {repeated(100, " OR ", "t ILIKE '%%a%dxy%%'"), row(9, strings.ToUpper(a))},
		"folded":                {repeated(100, " OR ", "lower(t) = '%d'"), row(9, strings.ToUpper(a))},
		"documents":             {repeated(100, " OR ", "doc @> '[%d]'"), row(17, "["+strings.Repeat("10, ", size/4)+"10]")},
		"deep documents":        {repeated(5, " OR ", "doc @> '"+strings.Repeat("[", 20)+"%d"+strings.Repeat("]", 20)+"'"), row(17, "["+strings.Repeat("[[[[[[[[[[[[[[[[[[[[10]]]]]]]]]]]]]]]]]]]], ", size/45)+"10]")},
		"paths of documents":    {repeated(20, " OR ", `doc @@ '$.a[*] == %d.5'`), row(17, `{"a": [`+strings.Repeat("1, ", size/3)+"10]}")},
		"a long text in a path": {`doc @@ '$.a[*] > "` + strings.Repeat(`\n`, 900) + `"'`, row(17, `{"a": [`+strings.Repeat(`"", `, size/4)+"10]}")},
		"filters in a path":     {`doc @? '$[*] ? (@[*] ? (@[*] == 7 || @.a starts with "x" || exists(@.b ? (@ == 7))) == 3 && @[last] == 1)'`, row(17, "["+strings.Repeat("[[1]], ", size/7)+"10]")},
		"keys in a path":        {`doc @? '$.a.a.*.a ? (@.b < "x" && @.c > "\\n")'`, row(17, `{"a": {"a": {"k": {"a": [`+strings.Repeat(`{"b": "\n"}, `, size/12)+"10]}}}}")},
		"keys":                  {repeated(100, " OR ", "doc ? 'k%d'"), row(17, "["+strings.Repeat(`"k", `, size/5)+`"k"]`)},
		"arrays":                {repeated(20, " OR ", "tags @> '{b%d}'"), row(21, "{"+strings.Repeat("a,", size/2)+"a}")},
		"large arrays":          {"tags && '{" + repeated(200, ",", "b%d") + "}'", row(21, "{"+strings.Repeat("a,", size/2)+"a}")},
		"elements":              {repeated(20, " OR ", "'b%d' = ANY (tags)"), row(21, "{"+strings.Repeat("a,", size/2)+"a}")},
		"patterns of an array":  {"t LIKE ANY ('{" + repeated(100, ",", "%%%dx_y%%") + "}')", row(9, a)},
		"casts":                 {repeated(30, " OR ", "t::int = %d"), row(9, strings.Repeat(" ", size))},
		"numbers":               {repeated(30, " OR ", "n * n > %d"), row(7, "1."+strings.Repeat("7", 16_000))},
		"joined texts":          {repeated(20, " OR ", "(t || t || t) LIKE '%%a_%d%%'"), row(9, a)},
		"regular expressions":   {repeated(20, " OR ", "t ~ 'a[ab]c?%dx'"), row(9, a)},
		"of many parts":         {"t ~ '(a?a?a?a?a?a?a?a?){15}bx'", row(9, a)},
		"of many ways":          {"t ~ '(a|a|aa)*(b|a+)*a{100}bx'", row(9, a)},
		"parts of texts":        {repeated(50, " OR ", "substr(t, 2, 100000) = '%d'"), row(9, strings.Repeat("é", size/2))},
		"replaced texts":        {repeated(20, " OR ", "replace(t, 'a', 'b%d') = 'x'"), row(9, a)},
		"fields of texts":       {repeated(20, " OR ", "split_part(t, 'a', -1%d) = 'x'"), row(9, a)},
		"trimmed texts":         {repeated(20, " OR ", "btrim(t, 'bcdefgha') = '%d'"), row(9, a)},
		"places":                {repeated(20, " OR ", "strpos(t, 'aaaaaaaaaaaaaaab%d') = 1"), row(9, a)},
		"cases":                 {repeated(20, " OR ", "CASE WHEN t ILIKE '%%a%dxy%%' THEN flag ELSE flag2 END"), row(9, strings.ToUpper(a))},
		"ranges":                {repeated(300, " OR ", "spans @> '[%d,)'"), row(36, "["+strings.Repeat("7", size)+",)")},
		"lists of ranges":       {"spans IN (" + repeated(3000, ",", "'[%d.0,)'") + ")", row(36, "["+strings.Repeat("7", size)+",)")},
		"lists of numbers":      {repeated(20, " OR ", "(n + %d) IN ("+repeated(100, ",", "%d.5")+")"), row(7, strings.Repeat("7", size))},
		"composite values":      {repeated(100, " OR ", "(point IS NULL AND i4 = %d)"), row(33, "("+strings.Repeat(",", size)+")")},
		"bytes":                 {repeated(300, " OR ", "raw > '%d'"), row(20, `\x30`+strings.Repeat("30", size/2))},
		"alternatives":          {repeated(3000, " OR ", "id = %d"), row(0, "1234567890123")},
	} {
		p := compile(t, test.where)
		steps := p.Steps(test.row)
		least := time.Hour // of some attempts: others use the machine, too
		for range 5 {
			began := cpuTime()
			p.Match(test.row)
			least = min(least, cpuTime()-began)
		}
		ratio := float64(least.Nanoseconds()) / steps
		t.Logf("%-22s %8.1f ms said, %8.1f ms taken, %.2f; carefree up to %d bytes", name, steps/1e6, float64(least.Microseconds())/1000, ratio, p.Carefree())
		if ratio > 5 { // the race detector, and a slow machine
			t.Errorf("%s: said to cost %.1f ms, took %s", name, steps/1e6, least)
		}
		if n := p.Carefree(); n > 1 {
			total := 0
			for _, c := range test.row {
				total += len(c)
			}
			if total <= n && 2*steps > MaxSteps {
				t.Errorf("%s: a row of %d bytes costs %.0f, and up to %d bytes nobody looks", name, total, steps, n)
			}
		}
	}
}

// What a clause costs is found out in a time that grows with the clause, however its parts are nested.
func TestTheCostOfNestedClausesIsFoundSoon(t *testing.T) {
	for name, nest := range map[string]struct{ open, inner, end string }{
		"nullif":    {"nullif(", "t", ", 'a')"},
		"replace":   {"btrim(", "t", ")"},
		"case":      {"case when flag then ", "t", " else v end"},
		"guards":    {"case when flag or flag2 then ", "t", " end"},
		"no guards": {"case when i4 between '-2147483648'::bigint and '2147483647'::bigint then (", "id", ")::integer end"},
		"ranges":    {"case when id between '-2147483648'::bigint and '2147483647'::bigint then (", "id", ")::integer end"},
		"round":     {"round(", "f8", ")"},
		"between":   {"(", "flag", "::integer between 0 and 1)"},
		"symmetric": {"(", "flag", "::integer between symmetric 0 and 1)"},
		"bounds":    {"(0 between symmetric ", "flag", "::integer and 1)"},
		"rows":      {"((", "flag", ", i4) <= (true, 1))"},
		"lists":     {"((i4, ", "flag", ") in ((1, true), (2, false), (3, true)))"},
		"distinct":  {"(", "flag", " is distinct from (i4 = 1))"},
		"any":       {"(", "flag", "::integer = any (nums))"},
		"contained": {"(", "flag", "::integer <@ int4range '[0,5)')"},
	} {
		began := cpuTime()
		_, err := Compile(strings.Repeat(nest.open, 60)+nest.inner+strings.Repeat(nest.end, 60)+" is null", nil, sample(), nil)
		took := cpuTime() - began
		if t.Logf("%s: %s, %v", name, took, err); took > 5*time.Second { // the race detector takes a dozen times as long as without
			t.Errorf("%s takes %s", name, took)
		}
	}
}
