package predicate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTablesOfSubqueries(t *testing.T) {
	for where, want := range map[string][][2]string{
		"a = 1":                  nil,
		"a IN (SELECT b FROM c)": {{"", "c"}},
		`a IN (SELECT b FROM "S".c WHERE d IN (SELECT 1 FROM e, f JOIN g ON true))`: {{"S", "c"}, {"", "e"}, {"", "f"}, {"", "g"}},
		"EXISTS (WITH w AS (SELECT 1 FROM c) SELECT 1 FROM w)":                      {{"", "w"}, {"", "c"}},
		"a = (SELECT 1 FROM (SELECT 2 FROM c) x ORDER BY (SELECT 3 FROM d))":        {{"", "c"}, {"", "d"}},
		"a = ANY (ARRAY(SELECT b FROM c UNION SELECT b FROM d))":                    {{"", "c"}, {"", "d"}},
		"a = 1 -- and no more": nil,
	} {
		got, err := Tables(where)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", where, err, diff)
		}
	}
}

// Who writes a condition beside a clause relies on it that the clause ends where it seems to.
func TestClausesThatReachFurtherAreNone(t *testing.T) {
	for _, where := range []string{
		"", "true) OR (true", "true; SELECT 1", "true;", "true /*", "true UNION SELECT 1", "true ORDER BY 1", "true LIMIT 1", "true FOR UPDATE", "true GROUP BY 1",
		"true WINDOW w AS ()", "'", "$$", `"`, "true AS x", "true, true", "true HAVING true", "true OFFSET 1", "true FETCH FIRST ROW ONLY",
		strings.Repeat("(", 32_000) + "true" + strings.Repeat(")", 32_000), strings.Repeat("NOT ", 16_000) + "true", "a = 1" + strings.Repeat("+1", 32_000),
		"a = " + strings.Repeat("- ", 32_000) + "1", "a" + strings.Repeat("::int", 12_000) + " = 1", "a" + strings.Repeat("[1]", 20_000) + " = 1",
		strings.Repeat("f(", 32_000) + "1" + strings.Repeat(")", 32_000), strings.Repeat("a IN (SELECT b FROM c WHERE ", 2_000) + "true" + strings.Repeat(")", 2_000),
		strings.Repeat("ARRAY[", 10_000) + "1" + strings.Repeat("]", 10_000) + " = a", strings.Repeat("CASE WHEN true THEN ", 2_500) + "true" + strings.Repeat(" END", 2_500),
		"a = 1" + strings.Repeat(" || 1", 12_000), "true" + strings.Repeat(" IS TRUE", 7_000), "a" + strings.Repeat(" COLLATE c", 5_000) + " = 1",
		strings.Repeat("/*", 32_000), "a = '\x00'", "a = '\xff'",
	} {
		if got, err := Tables(where); err == nil {
			t.Errorf("%.60s is taken, with tables %.100v", where, got)
		}
	}
}
