package live

import (
	"context"
	"iter"
	"maps"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// Owner holds shapes that are not live. Its methods are called on the main loop.
type Owner interface {
	// Handle is that of a shape's life, "" if the owner has none with the id.
	Handle(id string) string
	// State is that of the shape's record: whether its creation is over.
	State(id string) control.State
	// End ends a shape, in a moment if not at once.
	End(ctx context.Context, id, reason string, keepRecord bool) error
	// Watch has the changes of a shape's log noted from now on. It reports false if it does not have the
	// shape, or whoever takes the shape next has them noted.
	Watch(id, handle string) bool
}

// Above is what the main loop asks and tells of what is built on it. It is called on the main loop.
type Above interface {
	// Leave takes over shapes that have to leave the main loop.
	Leave(ctx context.Context, shapes []*follow.Follower)
	// Places are the places of shapes behind the main loop, for the checkpoints, by partition.
	Places() map[int][]wire.ParkedAt
	// Behind reports whether there are such shapes.
	Behind() bool
	// Floors are the places below which they need nothing of the change log.
	Floors() iter.Seq[changelog.Place]
	// Lost takes out the shapes of a partition that cannot be written, and counts them.
	Lost(partition int, why error) int
	// Selecting are the handles of the inner shapes from which shapes behind the main loop select, or did a moment ago.
	Selecting() map[string]bool
	// Down is told of a partition when its shapes have been taken out.
	Down(ctx context.Context, p *Partition)
	// Fragment sees each fragment before it is offered to the shapes.
	Fragment(table uint32, f *change.Fragment)
	// Described is told that Postgres has described a table.
	Described()
	// BarrierRead sees each barrier.
	BarrierRead(ctx context.Context, c wire.Control) error
}

// Hold notes who holds a shape that is not live. Who held it before does not any more.
func (s *Loop) Hold(id string, o Owner) {
	s.elsewhere[id] = o
	s.Stats.Parked.Store(int64(len(s.elsewhere)))
}

// LetGo is told that an owner does not hold a shape any more, and reports whether it did. The change log
// is not kept for the shape then.
func (s *Loop) LetGo(id string, o Owner) bool {
	held := s.HeldBy(id, o)
	if held {
		delete(s.elsewhere, id)
		delete(s.pins, id)
		s.Stats.Parked.Store(int64(len(s.elsewhere)))
	}
	return held
}

// Pin keeps the change log from being trimmed at a place, for a shape that is not live.
func (s *Loop) Pin(id string, at changelog.Place) { s.pins[id] = at }

// HeldBy reports whether an owner holds a shape.
func (s *Loop) HeldBy(id string, o Owner) bool { return s.elsewhere[id] == o }

// GoesOn reports whether a shape that was live is so still, or is with an owner and may be so again. Runs on the main loop.
func (s *Loop) GoesOn(f *follow.Follower) bool {
	if s.Live[f.ID] == f {
		return true
	}
	o := s.elsewhere[f.ID]
	return o != nil && o.Handle(f.ID) == f.Handle && s.Parts[f.Partition].Writer.Load() == f.Writer
}

// OwnerOf is who holds a shape that is not live, nil if nobody does.
func (s *Loop) OwnerOf(id string) Owner { return s.elsewhere[id] }

// Held gives the owners of all shapes that are not live, by id.
func (s *Loop) Held() iter.Seq2[string, Owner] { return maps.All(s.elsewhere) }
