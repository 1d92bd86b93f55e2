package live

import (
	"log/slog"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// A set may be forgotten, as nobody here selects by it, and known again, while the shape that it is of is on its way to the
// main loop. Then what the shape's log has is anchored again, or whoever depends on it would wait for ever.
func TestMarkersAreAnchoredAgainWhenASetIsKnownAgain(t *testing.T) {
	l := NewLoop(&Config{}, &Stats{}, slog.New(slog.DiscardHandler))
	l.Sets = valuesets.NewSets(valuesets.Config{})
	q := registry.Subquery{ID: "inner", Handle: "inner-1", Columns: []int{0}}
	f := &follow.Follower{ID: q.ID, Log: shapelog.Log{Handle: q.Handle, Tail: wire.Tail{Committed: change.Offset{LSN: 7, Op: 2}}}}
	if l.NoteMarkers(f); f.Inner.Load() || l.Sets.Anchored(q.Handle) {
		t.Error("the markers of a shape are noted on which nobody depends")
	}
	for round := range 2 {
		l.Sets.Add(q, nil)
		if l.NoteMarkers(f); !f.Inner.Load() || !l.Sets.Anchored(q.Handle) {
			t.Errorf("round %d: its markers are noted %t, its log anchored %t", round, f.Inner.Load(), l.Sets.Anchored(q.Handle))
		}
		l.Sets.Forget(q.Handle)
	}
}
