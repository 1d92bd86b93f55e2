package valuesets_test

import (
	"testing"

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
	}
	for _, tt := range []struct {
		name  string
		at    change.LSN
		aside []change.LSN
		want  bool
	}{
		{"before the unit", 100, nil, true},
		{"in the unit", 150, nil, false},
		{"at its marker", 200, nil, true},
		{"behind it", 300, []change.LSN{250}, true},
		{"without one that the unit brings", 300, []change.LSN{150, 250}, false},
		{"without the unit's barrier", 300, []change.LSN{200}, false},
		{"without one from before anything was noted", 300, []change.LSN{40}, false},
	} {
		if got := s.Settled(nested, tt.at, tt.aside); got != tt.want {
			t.Errorf("%s: settled is %t", tt.name, got)
		}
		if !s.Settled(plain, tt.at, tt.aside) {
			t.Errorf("%s: a set without units is not settled", tt.name)
		}
	}
}
