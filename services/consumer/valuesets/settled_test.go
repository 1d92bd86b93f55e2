package valuesets_test

import (
	"context"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// TestWhereAnInnerShapeStandsStill: through a unit of an inner shape with subqueries nobody knows what it selects, and a
// snapshot that lacks a part of what a unit brings has no verdict of its own.
func TestWhereAnInnerShapeStandsStill(t *testing.T) {
	s := valuesets.NewSets(valuesets.Config{})
	nested, _ := s.Add(registry.Subquery{ID: "mid", Handle: "mid-1", Unit: true, Columns: []int{0}}, nil)
	plain, _ := s.Add(registry.Subquery{ID: "leaf", Handle: "leaf-1", Columns: []int{0}}, nil)
	s.Anchor("mid-1", change.Offset{LSN: 50})
	for _, handle := range []string{"mid-1", "leaf-1"} {
		s.Span(handle, 100, 200)
		s.Place(handle, false, 300)
	}
	for _, tt := range []struct {
		name     string
		at       change.LSN
		deferred []change.LSN
		want     bool
	}{
		{"before the unit", 100, nil, true},
		{"in the unit", 150, nil, false},
		{"at its marker", 200, nil, true},
		{"behind it", 300, []change.LSN{250}, true},
		{"without one that the unit brings", 300, []change.LSN{150, 250}, false},
		{"without the unit's barrier", 300, []change.LSN{200}, false},
		{"without one from before anything was noted", 300, []change.LSN{40}, false},
	} {
		if got, err := s.Settled(t.Context(), nested, tt.at, tt.deferred); got != tt.want || err != nil {
			t.Errorf("%s: settled is %t, %v", tt.name, got, err)
		}
		if settled, err := s.Settled(t.Context(), plain, tt.at, tt.deferred); !settled || err != nil {
			t.Errorf("%s: a set without units is not settled, %v", tt.name, err)
		}
	}
}

// TestAUnitThatHasNotEndedIsWaitedFor: where an inner shape stands nobody can tell yet whether it stands still there, through a
// unit that takes in what was deferred at that place.
func TestAUnitThatHasNotEndedIsWaitedFor(t *testing.T) {
	for name, c := range map[string]struct {
		then func(s *valuesets.Sets)
		want bool
	}{
		"a unit reaches beyond it":       {func(s *valuesets.Sets) { s.Span("mid-1", 100, 200); s.Place("mid-1", false, 200) }, false},
		"the log goes on by itself":      {func(s *valuesets.Sets) { s.Place("mid-1", false, 150) }, true},
		"it is with the main loop":       {func(s *valuesets.Sets) { s.Advance(150); s.Place("mid-1", true, 0) }, true},
		"the inner shape ends meanwhile": {func(s *valuesets.Sets) { s.Forget("mid-1") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := valuesets.NewSets(valuesets.Config{})
			set, _ := s.Add(registry.Subquery{ID: "mid", Handle: "mid-1", Unit: true, Columns: []int{0}}, nil)
			s.Place("mid-1", false, 100)
			soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if settled, err := s.Settled(soon, set, 150, nil); err == nil {
				t.Fatalf("it is settled: %t, before anybody knows", settled)
			}
			type answer struct {
				settled bool
				err     error
			}
			asked := make(chan answer)
			go func() {
				settled, err := s.Settled(t.Context(), set, 150, nil)
				asked <- answer{settled, err}
			}()
			c.then(s)
			if got := <-asked; got.err != nil || got.settled != c.want {
				t.Errorf("settled is %t, %v; want %t", got.settled, got.err, c.want)
			}
		})
	}
}
