// Package selected is what the subqueries of a stage select: its value sets, as they stand where the stage stands.
package selected

import (
	"context"
	"errors"
	"slices"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// Sets are the value sets of a stage, each once. Owned by the group's goroutine; All is for others to read.
type Sets struct {
	All     []*valuesets.Set // in the order of the stage's views
	Touched []live.Touched   // of each set, since the members left the main loop

	from   *valuesets.Sets
	waits  func(ctx context.Context, err error)
	places map[string]int // in All, by name
	users  []int          // by set: subqueries of members

	// State of an attempt.
	own   []*follow.Follower // by set: its inner shape, if that is a member of the group; else nil
	whole []bool             // by set: the unit has what that selects at its end
}

// New makes a stage's sets, without any. waits is told what a set is waited for that nobody has written yet.
func New(from *valuesets.Sets, waits func(ctx context.Context, err error)) *Sets {
	return &Sets{from: from, waits: waits, places: map[string]int{}}
}

// Add adds the set of a subquery.
func (s *Sets) Add(q registry.Subquery) {
	name := q.ValueSet()
	if _, known := s.places[name]; !known {
		s.places[name] = len(s.All)
		s.All = append(s.All, s.from.Get(name))
		s.Touched = append(s.Touched, live.Touched{})
		s.users = append(s.users, 0)
	}
	s.users[s.places[name]]++
}

// Drop takes back an Add. What nobody selects any more is not the stage's: its inner shape may end, or go to another process,
// and nobody would tell of it. Between attempts, when there are no views.
func (s *Sets) Drop(q registry.Subquery) {
	i := s.places[q.ValueSet()]
	if s.users[i]--; s.users[i] > 0 {
		return
	}
	s.All, s.Touched, s.users = slices.Delete(s.All, i, i+1), slices.Delete(s.Touched, i, i+1), slices.Delete(s.users, i, i+1)
	clear(s.places)
	for i, set := range s.All {
		s.places[set.Name()] = i
	}
	s.own, s.whole = nil, nil
}

// Nested reports whether an inner shape has subqueries itself, so that its log changes at barriers.
func (s *Sets) Nested() bool { return slices.ContainsFunc(s.All, (*valuesets.Set).Unit) }

// Index is the place of a set in All.
func (s *Sets) Index(name string) int { return s.places[name] }

// FindOwn looks which of the inner shapes are members of the group, by their handles.
func (s *Sets) FindOwn(member func(handle string) *follow.Follower) {
	s.own, s.whole = make([]*follow.Follower, len(s.All)), make([]bool, len(s.All))
	for i, set := range s.All {
		s.own[i] = member(set.Handle())
	}
}

// Disown says that none of the inner shapes is a member any more.
func (s *Sets) Disown() { clear(s.own) }

// Complete reports whether the inner shapes with subqueries are members, so that the group needs nobody else for a unit.
func (s *Sets) Complete() bool {
	for i, f := range s.own {
		if f == nil && s.All[i].Unit() {
			return false
		}
	}
	return true
}

// Others are those whose inner shapes are not members, and whether these are all live.
func (s *Sets) Others() (others []*valuesets.Set, live bool) {
	live = true
	for i, set := range s.All {
		if s.own[i] == nil {
			others = append(others, set)
			live = live && s.from.IsLive(set)
		}
	}
	return others, live
}

// Current reports whether every inner shape is with the main loop, or comes along, and no
// commit behind the stage's place has changed one.
func (s *Sets) Current(at change.LSN) bool {
	for i, set := range s.All {
		if s.own[i] == nil && !s.from.IsLive(set) || s.from.Behind(set, at) {
			return false
		}
	}
	return true
}

// AwaitBases waits until all sets have bases.
func (s *Sets) AwaitBases(ctx context.Context) error {
	for _, set := range s.All {
		if err := s.awaitBase(ctx, set); err != nil {
			return err
		}
	}
	return nil
}

// awaitBase waits until the materializer has written a first base of the set.
func (s *Sets) awaitBase(ctx context.Context, set *valuesets.Set) error {
	var poll service.Poll
	for told := false; ; {
		err := s.from.Load(ctx, set)
		if p, ok := errors.AsType[*valuesets.PoisonedError](err); ok {
			return &live.FinalError{Err: p}
		}
		if !errors.Is(err, valuesets.ErrNoBase) {
			return err
		}
		if !told && poll.Slow() {
			told = true
			s.waits(ctx, err)
		}
		if err := poll.Wait(ctx); err != nil {
			return err
		}
	}
}

// reasonForgotten ends shapes whose sets cannot be known any more as they were
// where the shapes stand: streams were restored, or trimmed by somebody else.
const reasonForgotten = "the values that its subquery selected where the shape stands are not stored any more"

// Load looks the sets up as they stand where the stage stands. For one that has begun it is the end if they are not stored any
// more. The views are to be released, those before an error too.
func (s *Sets) Load(ctx context.Context, at reconcile.Standing, began bool) (views []*valueset.View, err error) {
	for i, set := range s.All {
		v, err := s.View(ctx, i, at)
		if errors.Is(err, valuesets.ErrGone) { // what is stored may reach further back than what is held
			if err = s.LoadAgain(ctx, set); err != nil {
				return views, err
			}
			v, err = s.View(ctx, i, at)
		}
		if errors.Is(err, valuesets.ErrGone) && began {
			return views, &live.FinalError{Err: errors.New(reasonForgotten)}
		}
		if err != nil {
			return views, err
		}
		views = append(views, v)
	}
	return views, nil
}

// View looks up the i-th set as it stands where the stage stands. It is to be released. An inner shape of the same group may stand before it: where a
// shape begins nobody waits for the others to come as far.
func (s *Sets) View(ctx context.Context, i int, at reconcile.Standing) (*valueset.View, error) {
	deferred := reconcile.LSNs(at.Deferred)
	if f := s.own[i]; f != nil {
		return s.from.ViewOwn(ctx, s.All[i], at.At, deferred, f.Tail.Committed)
	}
	return s.from.View(ctx, s.All[i], at.At, deferred)
}

// Hold looks up the sets as they stand where the stage stands, for somebody who goes on with them when the stage does, with other
// sets maybe. release gives them back.
func (s *Sets) Hold(ctx context.Context, at reconcile.Standing) (views []*valueset.View, release func(), err error) {
	held := slices.Clone(s.All)
	release = func() {
		for _, set := range held[:len(views)] {
			s.from.Release(set)
		}
	}
	for i := range held {
		v, err := s.View(ctx, i, at)
		if err != nil {
			release()
			return nil, nil, err
		}
		views = append(views, v)
	}
	return views, release, nil
}

// Release gives the first n views back, one of each set.
func (s *Sets) Release(n int) {
	for _, set := range s.All[:n] {
		s.from.Release(set)
	}
}

// LoadAgain loads a set that does not reach back to where the stage stands.
func (s *Sets) LoadAgain(ctx context.Context, set *valuesets.Set) error {
	s.from.Unload(set)
	return s.awaitBase(ctx, set)
}

// Short is a set that is not known back to a place, nil if all are.
func (s *Sets) Short(at change.LSN) *valuesets.Set {
	for _, set := range s.All {
		if !s.from.Holds(set, at) {
			return set
		}
	}
	return nil
}
