package group

import (
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
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

// TestWhatAChainDoesFirst: where its stages are apart, or something is aside, a unit takes all to one place.
func TestWhatAChainDoesFirst(t *testing.T) {
	at := func(lsn change.LSN, aside ...change.LSN) *stage {
		st := &stage{at: changelog.Place{LSN: lsn}}
		for _, a := range aside {
			st.aside = append(st.aside, reconcile.Txn{LSN: a})
		}
		return st
	}
	for _, tt := range []struct {
		name   string
		stages []*stage
		apart  bool
		upTo   change.LSN
		first  change.LSN // that is aside, 0 for none
	}{
		{"one stage", []*stage{at(10)}, false, 10, 0},
		{"one stage with something aside", []*stage{at(10, 8)}, false, 10, 8},
		{"at one place", []*stage{at(10), at(10)}, false, 10, 0},
		{"killed between two markers", []*stage{at(20), at(10)}, true, 20, 0},
		{"the outer one is ahead: it has joined the group", []*stage{at(10), at(20)}, true, 20, 0},
		{"something is aside", []*stage{at(10, 7, 9), at(10, 6)}, true, 10, 6},
	} {
		g := &group{stages: tt.stages}
		first, _ := g.firstAside()
		if g.apart() != tt.apart || g.furthest().LSN != tt.upTo || first.LSN != tt.first {
			t.Errorf("%s: apart %t, up to %s, first aside %s", tt.name, g.apart(), g.furthest().LSN, first.LSN)
		}
	}
}
