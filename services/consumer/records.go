package consumer

import (
	"context"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
)

// record is what the main loop keeps of a shape's record, to know which
// shapes depend on which.
type record struct {
	handle     string
	table      uint32 // oid; 0 if it is not known
	unasked    bool
	changed    time.Time
	subqueries []registry.Subquery
}

// noteRecord keeps what matters of a record that is new or has changed; nil
// when it was removed. Runs on the main loop.
func (s *mainLoop) noteRecord(id string, rec *registry.Shape) {
	for _, q := range s.records[id].subqueries {
		if of := s.dependsOn[q.Handle]; of != nil {
			if delete(of, id); len(of) == 0 {
				delete(s.dependsOn, q.Handle)
			}
		}
	}
	if was, ok := s.records[id]; ok {
		if s.shapesOn[was.table]--; s.shapesOn[was.table] == 0 {
			delete(s.shapesOn, was.table)
		}
	}
	delete(s.records, id)
	delete(s.ended, id)
	switch {
	case rec == nil:
		return
	case rec.State == control.StateEnded:
		s.ended[id] = rec.Changed
		return
	}
	var table uint32
	if rec.Table != nil {
		table = rec.Table.Relation.OID
	}
	s.records[id] = record{rec.Handle, table, rec.Unasked, rec.Changed, rec.Subqueries}
	s.shapesOn[table]++
	if rec.State == control.StateDeleting {
		return
	}
	for _, q := range rec.Subqueries {
		if s.dependsOn[q.Handle] == nil {
			s.dependsOn[q.Handle] = map[string]bool{}
		}
		s.dependsOn[q.Handle][id] = true
	}
}

// endDependents ends the shapes that depend on one that has ended, with the same reason. Runs on
// the main loop.
func (s *mainLoop) endDependents(ctx context.Context, handle, reason string) error {
	var ids []string
	for id := range s.dependsOn[handle] {
		ids = append(ids, id)
	}
	if !strings.HasPrefix(reason, reasonInner) {
		reason = reasonInner + ": " + reason
	}
	for _, id := range ids {
		if err := s.endRunning(ctx, id, reason, true); err != nil {
			return err
		}
	}
	for _, set := range s.sets.Forget(handle) {
		s.liveSets.forget(set.Name(), s.router)
	}
	return nil
}

// keepInner takes back the deletion of a shape that others depend on: nobody
// asks for it any more, so it goes with the last of them.
func (s *mainLoop) keepInner(ctx context.Context, rec *registry.Shape) error {
	state := control.StateCreating
	if s.live[rec.ID] != nil {
		state = control.StateLive
	} else if o := s.elsewhere[rec.ID]; o != nil {
		state = o.State(rec.ID)
	}
	return s.state(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		if r.State == control.StateDeleting {
			r.State, r.Unasked = state, true
		}
	})
}
