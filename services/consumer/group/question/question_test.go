package question

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/valueset"
)

// TestPagesAskByEveryValueOnce: whatever changed in how many sets, the pages together ask by each value once, and none of
// them by much more than it may.
func TestPagesAskByEveryValueOnce(t *testing.T) {
	table := predicate.Table{Schema: "public", Name: "tasks", Columns: []predicate.Column{{Name: "id", TypeOID: 20}, {Name: "a", TypeOID: 20}, {Name: "b", TypeOID: 20}}}
	p, err := predicate.Compile("a IN (SELECT id FROM tasks) OR b IN (SELECT id FROM tasks)", nil, table, func(string, string) (*predicate.Table, error) { return &table, nil })
	if err != nil {
		t.Fatal(err)
	}
	condition := regexp.MustCompile(`"([ab])" = ANY\('\{([^}]*)\}'::bigint\[\]\)`)
	rapid.Check(t, func(t *rapid.T) {
		q := New()
		q.Shape("flag")
		q.Shape("other")
		if rapid.Bool().Draw(t, "all of a table") {
			q.Shape("true")
		}
		want := map[string]int{}
		for i, name := range []string{"a", "b"} {
			n := rapid.IntRange(0, 30).Draw(t, "values")
			for v := range n {
				want[fmt.Sprint(name, v)] = 1
			}
			q.Touched(name, p.Subqueries()[i], func(yield func([]byte) bool) {
				for v := range n {
					if !yield(valueset.AppendComponent(nil, fmt.Append(nil, v))) {
						return
					}
				}
			}, false)
		}
		most := rapid.IntRange(1, 100).Draw(t, "most")
		got := map[string]int{}
		if err := q.Pages(most, func(where string) error {
			bytes := 0
			for _, m := range condition.FindAllStringSubmatch(where, -1) {
				bytes += len(m[2])
				for v := range strings.SplitSeq(m[2], ",") {
					got[m[1]+strings.Trim(v, `"`)]++
				}
			}
			if bytes == 0 || bytes >= most+len(`,"29"`) {
				t.Fatalf("%d bytes of values where %d are the most: %s", bytes, most, where)
			}
			if strings.HasSuffix(where, "AND ((flag) OR (other))") == slices.Contains(q.fixed, "true") {
				t.Fatalf("narrowed down to %q: %s", q.fixed, where)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want) {
			t.Fatalf("the pages ask by %v, want %v", got, want)
		}

		q.every = true
		var all []string
		if err := q.Pages(most, func(where string) error { all = append(all, where); return nil }); err != nil || len(all) != 1 || strings.Contains(all[0], "ANY") {
			t.Fatalf("every row is asked for by %q, %v", all, err)
		}
	})
}
