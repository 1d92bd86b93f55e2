package live

import (
	"context"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
)

// Record is what the main loop keeps of a shape's record, to know which
// shapes depend on which.
type Record struct {
	Handle     string
	table      uint32 // oid; 0 if it is not known
	Internal   bool
	Changed    time.Time
	Partition  int
	Subqueries []registry.Subquery
}

// NoteRecord keeps what matters of a record that is new or has changed; nil
// when it was removed. Runs on the main loop.
func (s *Loop) NoteRecord(id string, rec *registry.Shape) {
	for _, q := range s.Records[id].Subqueries {
		if of := s.DependsOn[q.Handle]; of != nil {
			if delete(of, id); len(of) == 0 {
				delete(s.DependsOn, q.Handle)
			}
		}
	}
	if was, ok := s.Records[id]; ok {
		if s.ShapesOn[was.table]--; s.ShapesOn[was.table] == 0 {
			delete(s.ShapesOn, was.table)
		}
	}
	delete(s.Records, id)
	delete(s.Ended, id)
	delete(s.FoldAsked, id)
	delete(s.Folded, id)
	switch {
	case rec == nil:
		return
	case rec.State == control.StateEnded:
		s.Ended[id] = rec.Changed
		return
	}
	var table uint32
	if rec.Table != nil {
		table = rec.Table.Relation.OID
	}
	s.Records[id] = Record{rec.Handle, table, rec.Internal, rec.Changed, rec.Partition, rec.Subqueries}
	s.ShapesOn[table]++
	if rec.Fold != nil && !rec.Fold.Asked.IsZero() {
		s.FoldAsked[id] = true
	}
	if !rec.Folded.IsZero() {
		s.Folded[id] = true
	}
	if rec.State == control.StateDeleting {
		return
	}
	for _, q := range rec.Subqueries {
		if s.DependsOn[q.Handle] == nil {
			s.DependsOn[q.Handle] = map[string]bool{}
		}
		s.DependsOn[q.Handle][id] = true
	}
}

// endDependents ends the shapes that depend on one that has ended, with the same reason. Runs on
// the main loop.
func (s *Loop) endDependents(ctx context.Context, handle, reason string) error {
	var ids []string
	for id := range s.DependsOn[handle] {
		ids = append(ids, id)
	}
	if !strings.HasPrefix(reason, reasonInner) {
		reason = reasonInner + ": " + reason
	}
	for _, id := range ids {
		if err := s.EndRunning(ctx, id, reason, true); err != nil {
			return err
		}
	}
	s.forgetSets(handle)
	return nil
}

// forgetSets forgets what is known of the sets of an inner shape.
func (s *Loop) forgetSets(handle string) {
	for _, set := range s.Sets.Forget(handle) {
		s.Selections.forget(set.Name(), s.Router)
	}
}

// KeepInner takes back the deletion of a shape that others depend on: nobody
// asks for it any more, so it goes with the last of them.
func (s *Loop) KeepInner(ctx context.Context, rec *registry.Shape) error {
	state := control.StateCreating
	if s.Live[rec.ID] != nil {
		state = control.StateLive
	} else if o := s.elsewhere[rec.ID]; o != nil {
		state = o.State(rec.ID)
	}
	return s.ChangeRecord(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		if r.State == control.StateDeleting {
			r.State, r.Internal = state, true
		}
	})
}
