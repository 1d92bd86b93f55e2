package selected_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/selected"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// world has a leaf, and a shape with subqueries that selects from it.
func world() (s *valuesets.Sets, leaf, mid registry.Subquery) {
	s = valuesets.NewSets(valuesets.Config{})
	leaf = registry.Subquery{ID: "leaf", Handle: "leaf-1", Columns: []int{0}}
	mid = registry.Subquery{ID: "mid", Handle: "mid-1", Unit: true, Columns: []int{0}}
	for _, q := range []registry.Subquery{leaf, mid} {
		set, _ := s.Add(q, nil)
		s.Begin(set, &valueset.Set{}, change.Offset{}, valuesets.Chain{})
	}
	return s, leaf, mid
}

// Only a chain that is there as a whole closes: whoever else has a part of it may have a unit of his own.
func TestWhomAStageWaitsFor(t *testing.T) {
	from, leaf, mid := world()
	s := selected.New(from, nil)
	for _, q := range []registry.Subquery{leaf, mid, leaf} { // two subqueries may ask the same
		s.Add(q)
	}
	if len(s.All) != 2 || s.Index(leaf.ValueSet()) != 0 || s.Index(mid.ValueSet()) != 1 || !s.Nested() {
		t.Fatalf("%d sets, nested %t", len(s.All), s.Nested())
	}
	for _, tt := range []struct {
		name           string
		members, live  []string
		complete       bool
		others         int
		alive, current bool
	}{
		{"nobody is here", nil, nil, false, 2, false, false},
		{"the inner shape with subqueries is a member", []string{"mid-1"}, nil, true, 1, false, false},
		{"and the other is live", []string{"mid-1"}, []string{"leaf-1"}, true, 1, true, true},
		{"both are live", nil, []string{"leaf-1", "mid-1"}, false, 2, true, true},
	} {
		for _, handle := range []string{"leaf-1", "mid-1"} {
			from.Place(handle, false, 100)
		}
		for _, handle := range tt.live {
			from.Place(handle, true, 100)
		}
		s.FindOwn(func(handle string) *follow.Follower {
			if slices.Contains(tt.members, handle) {
				return &follow.Follower{}
			}
			return nil
		})
		others, alive := s.Others()
		if got := s.Complete(); got != tt.complete || len(others) != tt.others || alive != tt.alive || s.Current(100) != tt.current {
			t.Errorf("%s: complete %t, waits for %d, alive %t, current %t", tt.name, got, len(others), alive, s.Current(100))
		}
		if s.Disown(); s.Complete() {
			t.Errorf("%s: it is complete without anybody", tt.name)
		}
	}
}

// What stages have touched together is known if they left together, and is that of those alone that have the set.
func TestWhatStagesHaveTouched(t *testing.T) {
	from, leaf, mid := world()
	one, both, all := selected.New(from, nil), selected.New(from, nil), selected.New(from, nil)
	one.Add(leaf)
	for _, s := range []*selected.Sets{both, all} {
		s.Add(leaf)
		s.Add(mid)
	}
	selection := &live.Selection{Version: 7}
	touch := func(values ...string) live.Touched {
		t := selection.Leave()
		for _, v := range values {
			t.Note(1, func(yield func([]byte) bool) { yield([]byte(v)) })
		}
		return t
	}
	one.Touched[0], both.Touched[0], both.Touched[1] = touch("a"), touch("b"), touch("c")
	all.TouchedIn([]*selected.Sets{one, both})
	if want := []live.Touched{touch("a", "b"), touch("c")}; !reflect.DeepEqual(all.Touched, want) {
		t.Errorf("touched is %v, want %v", all.Touched, want)
	}
	selection.Version++ // who leaves now leaves behind a change
	both.Touched[0] = touch("b")
	all.TouchedIn([]*selected.Sets{one, both})
	if want := []live.Touched{{}, both.Touched[1]}; !reflect.DeepEqual(all.Touched, want) {
		t.Errorf("touched is %v, want %v: those did not leave together", all.Touched, want)
	}
}
