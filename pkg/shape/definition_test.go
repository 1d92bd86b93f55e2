package shape_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/shape"
)

// Shapes are stored under their ids and in their partitions: other values would orphan every one of them.
func TestIDAndPartitionAreStable(t *testing.T) {
	for _, c := range []struct {
		definition shape.Definition
		where, id  string
		partition  int
	}{
		{shape.Definition{Schema: "public", Table: "tasks", Columns: []string{"id", "title"}}, "", "293c2adc97e15aa8", 7},
		{shape.Definition{Schema: "public", Table: "tasks", Columns: []string{"id", "title"}}, `("done" = 'f')`, "b06470026118ed50", 0},
	} {
		id := c.definition.ID(c.where)
		if p := shape.Partition(id, 8); id != c.id || p != c.partition {
			t.Errorf("%+v where %s: id %s in partition %d, want %s in %d", c.definition, c.where, id, p, c.id, c.partition)
		}
	}
}

func TestIDDependsOnTheMeaningOnly(t *testing.T) {
	base := shape.Definition{Schema: "public", Table: "tasks", Columns: []string{"id", "title"}, Where: "done = $1", Params: []*string{new("f")}}
	spelled := base
	spelled.Where, spelled.Params = "done=false", nil
	if base.ID("canonical") != spelled.ID("canonical") {
		t.Error("two spellings of one clause are two shapes")
	}
	if id := base.ID("canonical"); !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(id) {
		t.Errorf("id %q, want 16 hex digits", id)
	}
	seen := map[string]string{}
	for i, c := range []struct {
		definition shape.Definition
		where      string
	}{
		{shape.Definition{Schema: "a", Table: "b"}, ""},
		{shape.Definition{Schema: "ab", Table: ""}, ""},
		{shape.Definition{Schema: "", Table: "ab"}, ""},
		{shape.Definition{Schema: "a", Table: ""}, "b"},
		{shape.Definition{Schema: "a", Table: "b"}, "c"},
		{shape.Definition{Schema: "a", Table: "b", Columns: []string{"c"}}, ""},
		{shape.Definition{Schema: "a", Table: "b", Columns: []string{"c", "d"}}, ""},
		{shape.Definition{Schema: "a", Table: "b", Columns: []string{"d", "c"}}, ""},
		{shape.Definition{Schema: "a", Table: "b", Columns: []string{"cd"}}, ""},
		{shape.Definition{Schema: "a", Table: "b", Columns: []string{"c1:d"}}, ""},
		{shape.Definition{Schema: "a", Table: "b", Columns: []string{"", "c"}}, ""},
		{shape.Definition{Schema: "1:a", Table: "b"}, ""},
		{shape.Definition{Schema: "a1:b", Table: ""}, ""},
	} {
		id, what := c.definition.ID(c.where), fmt.Sprintf("%d: %+v where %q", i, c.definition, c.where)
		if other, taken := seen[id]; taken {
			t.Errorf("one id for\n%s\n%s", other, what)
		}
		seen[id] = what
	}
}

func TestPartitionsTakeAboutTheSameNumberOfShapes(t *testing.T) {
	const shapes = 10000
	for _, partitions := range []int{1, 2, 3, 8, 64} {
		count := make([]int, partitions)
		for i := range shapes {
			d := shape.Definition{Schema: "public", Table: "tasks", Columns: []string{"id"}}
			p := shape.Partition(d.ID(fmt.Sprint("project = ", i)), partitions)
			if p < 0 || p >= partitions {
				t.Fatalf("partition %d of %d", p, partitions)
			}
			count[p]++
		}
		for p, n := range count {
			if mean := shapes / partitions; n < mean*6/10 || n > mean*14/10 {
				t.Errorf("partition %d of %d has %d shapes, the mean is %d", p, partitions, n, mean)
			}
		}
	}
}

func TestEachLifeHasItsOwnHandle(t *testing.T) {
	now := time.UnixMicro(1700000000123456)
	first, second := shape.NewHandle("0123456789abcdef", now), shape.NewHandle("0123456789abcdef", now.Add(time.Microsecond))
	if first == second || !regexp.MustCompile(`^0123456789abcdef-[0-9a-z]+$`).MatchString(first) {
		t.Errorf("handles %s and %s", first, second)
	}
}
