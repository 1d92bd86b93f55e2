package create

import (
	"slices"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Shapes that can share a snapshot, or a reader of the change log, go into one batch.
func TestWhichShapesAreCreatedTogether(t *testing.T) {
	waits := func(id, table string) *Parked {
		return &Parked{ID: id, waiting: true, rec: &registry.Shape{Definition: shape.Definition{Schema: "public", Table: table}}}
	}
	begun := func(id string, seq uint64) *Parked {
		p := waits(id, "t")
		p.tail, p.rec.StartSeq = wire.Tail{Began: true}, seq
		return p
	}
	alone := func(p *Parked) *Parked { p.alone = true; return p }
	for _, tt := range []struct {
		name        string
		waiting     []*Parked
		batch, left string
	}{
		{"nobody waits", nil, "", ""},
		{"those of one table", []*Parked{waits("a", "t"), waits("b", "u"), waits("c", "t")}, "a c", "b"},
		{"one that failed has a snapshot of its own", []*Parked{alone(waits("a", "t")), waits("b", "t")}, "a", "b"},
		{"and spoils no other's", []*Parked{waits("a", "t"), alone(waits("b", "t"))}, "a", "b"},
		{"those that begin to read nearby", []*Parked{begun("a", 5000), begun("b", 5000+nearby), begun("c", 5001+nearby), begun("d", 4100)}, "a b d", "c"},
		{"those with rows go on by themselves", []*Parked{begun("a", 1), waits("b", "t")}, "a", "b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Creator{waiting: slices.Clone(tt.waiting)}
			batch := s.nextBatch()
			if got := ids(batch); got != tt.batch {
				t.Errorf("together: %q, want %q", got, tt.batch)
			}
			if got := ids(s.waiting); got != tt.left {
				t.Errorf("left: %q, want %q", got, tt.left)
			}
			if slices.ContainsFunc(batch, func(p *Parked) bool { return p.waiting }) {
				t.Error("one of the batch still waits")
			}
		})
	}
	var many []*Parked
	for range maxBatch + 1 {
		many = append(many, waits("x", "t"))
	}
	s := &Creator{waiting: many}
	if n := len(s.nextBatch()); n != maxBatch || len(s.waiting) != 1 {
		t.Errorf("%d together, %d are left", n, len(s.waiting))
	}
}

func ids(shapes []*Parked) string {
	var all []string
	for _, p := range shapes {
		all = append(all, p.ID)
	}
	return strings.Join(all, " ")
}
