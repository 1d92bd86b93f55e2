package live

import (
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// Follow prepares a shape from its record, for the log that stands at tail.
func (s *Loop) Follow(rec *registry.Shape, tail wire.Tail) (*follow.Follower, error) {
	if rec.Table != nil {
		shared, _ := s.infos.LoadOrStore(rec.Structure+rec.Table.Files(), rec.Table)
		rec.Table = shared.(*pg.TableInfo) //nolint:forcetypeassert,errcheck // the map holds nothing else
	}
	f, err := follow.NewFollower(rec, s.LogOf(rec.Partition, rec.Handle, tail), s.Sets.Note)
	if err == nil {
		f.MostRows = s.Cfg.MostRows
	}
	return f, err
}

// NoteMarkers has the commit markers of a shape noted from now on if others depend
// on it. It must not run: what it wrote so far is anchored.
func (s *Loop) NoteMarkers(f *follow.Follower) {
	watched := s.Sets.Watched(f.Handle)
	// It may have been watched before its sets were forgotten, and these are known again since.
	if before := f.Inner.Swap(watched); watched && (!before || !s.Sets.Anchored(f.Handle)) {
		s.Sets.Anchor(f.Handle, f.Tail.Committed)
	}
}

// AddLive gives a shape to the main loop.
func (s *Loop) AddLive(f *follow.Follower) {
	s.Live[f.ID] = f
	s.NoteMarkers(f)
	s.dropShadow(f.Handle)
	if f.Outer != nil {
		f.Outer.Look(s.Selections.View)
		for _, q := range f.Outer.Subqueries {
			if s.dependents[q.Handle] == nil {
				s.dependents[q.Handle] = map[*follow.Follower]bool{}
			}
			s.dependents[q.Handle][f] = true
			s.Selections.Of(q.ValueSet()).Selectors++
		}
	}
	s.Router.Add(f)
	s.Sets.Place(f.Handle, true, f.After)
	s.count(f)
}

// count notes how many shapes live, after one has come or gone.
func (s *Loop) count(f *follow.Follower) {
	s.Stats.Live.Store(int64(len(s.Live)))
	s.Stats.Unindexed.Set(f.Relation.OID, pg.Display(f.Relation.Schema, f.Relation.Name), int64(s.Router.Unindexed(f.Relation.OID)))
}

// RemoveLive takes a shape from the main loop, and reports whether it was there. Sets that no
// live shape selects by any more are not kept up to date there. The cost does not follow the
// number of shapes: thousands may leave with one commit.
func (s *Loop) RemoveLive(f *follow.Follower) bool {
	if s.Live[f.ID] != f {
		return false
	}
	s.Router.Remove(f)
	delete(s.Live, f.ID)
	s.count(f)
	s.Sets.Place(f.Handle, false, s.Applied.LSN)
	if f.Outer == nil {
		return true
	}
	for _, q := range f.Outer.Subqueries {
		if delete(s.dependents[q.Handle], f); len(s.dependents[q.Handle]) == 0 {
			delete(s.dependents, q.Handle)
		}
		s.Selections.leave(q.ValueSet())
	}
	return true
}
