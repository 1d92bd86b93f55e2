package selected

import (
	"context"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// Meet gives a stage's part of a unit what those inner shapes select at the unit's end that are members and have come
// there: these sets are known as a whole.
func (s *Sets) Meet(ctx context.Context, at reconcile.Standing, part *reconcile.Part) error {
	for i, f := range s.own {
		if f == nil {
			continue
		}
		s.whole[i] = true
		verdicts, err := s.from.Between(ctx, s.All[i], at.At, reconcile.LSNs(at.Deferred), f.Tail.Committed)
		if err != nil {
			return err
		}
		for _, v := range verdicts {
			part.Sets[i].Add(v.Deltas.All())
		}
	}
	return nil
}

// UnitOver says that the sets are not known as a whole any more.
func (s *Sets) UnitOver() { clear(s.whole) }

// Settled reports whether it is known what the sets are at a commit, without some transactions. It waits until the inner shapes have
// been written as far.
func (s *Sets) Settled(ctx context.Context, at change.LSN, deferred []change.LSN) (bool, error) {
	for i, set := range s.All {
		if s.whole[i] {
			continue
		}
		if settled, err := s.from.Settled(ctx, set, at, deferred); err != nil || !settled {
			return false, err
		}
	}
	return true, nil
}

// Spanned reports whether an inner shape has been through a unit since a commit.
func (s *Sets) Spanned(at change.LSN) bool {
	for _, set := range s.All {
		if s.from.Spanned(set, at) {
			return true
		}
	}
	return false
}

// Brought are the verdicts on each set that a commit brings, but on those that the unit has as a whole. It waits for them.
func (s *Sets) Brought(ctx context.Context, at change.LSN) ([][]reconcile.Deltas, error) {
	brought := make([][]reconcile.Deltas, len(s.All))
	for i, set := range s.All {
		if s.whole[i] {
			continue
		}
		verdicts, err := s.from.Verdicts(ctx, set, at)
		if err != nil {
			return nil, err
		}
		for _, v := range verdicts {
			brought[i] = append(brought[i], v.Deltas.All())
		}
	}
	return brought, nil
}

// NoteTouched notes what a unit has changed.
func (s *Sets) NoteTouched(part *reconcile.Part) {
	for i, set := range part.Sets {
		s.Touched[i].Note(set.Len(), set.Values())
	}
}

// TouchedIn sets what the members of several stages have touched since they left the main loop.
func (s *Sets) TouchedIn(parts []*Sets) {
	for i, set := range s.All {
		s.Touched[i] = touched(parts, set.Name())
	}
}

// touched is what has become of a set since the members of stages left the main loop.
func touched(parts []*Sets, set string) (t live.Touched) {
	first := true
	for _, p := range parts {
		i, known := p.places[set]
		switch {
		case !known:
		case first:
			t, first = p.Touched[i], false
		default:
			t.Add(&p.Touched[i])
		}
	}
	return t
}
