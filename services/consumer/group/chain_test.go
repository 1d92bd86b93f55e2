package group

import (
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// TestWhichShapesAreAChain: those that are connected by subqueries with subqueries, and no others.
func TestWhichShapesAreAChain(t *testing.T) {
	l := live.NewLoop(&live.Config{}, &live.Stats{}, slog.New(slog.DiscardHandler))
	s := NewGroups(l, nil)
	on := func(unit bool, ids ...string) (out []registry.Subquery) {
		for _, id := range ids {
			out = append(out, registry.Subquery{ID: id, Handle: id + "-1", Unit: unit})
		}
		return out
	}
	for id, q := range map[string][]registry.Subquery{
		"leaf":      nil,
		"mid":       on(false, "leaf"),
		"outer":     on(true, "mid"),
		"sibling":   on(true, "mid"),
		"top":       on(true, "outer"),
		"alone":     on(false, "leaf"),
		"both":      append(on(true, "other mid"), on(false, "leaf")...),
		"other mid": on(false, "leaf"),
	} {
		l.NoteRecord(id, &registry.Shape{ID: id, Handle: id + "-1", Subqueries: q})
	}
	for id, want := range map[string][]string{
		"mid":   {"mid", "outer", "sibling", "top"},
		"top":   {"mid", "outer", "sibling", "top"},
		"alone": {"alone"},
		"both":  {"both", "other mid"},
	} {
		if got := slices.Sorted(maps.Keys(s.chain(id))); !slices.Equal(got, want) {
			t.Errorf("the chain of %s is %q, want %q", id, got, want)
		}
	}
}
