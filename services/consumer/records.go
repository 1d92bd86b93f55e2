package consumer

import (
	"context"
	"errors"
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
func (s *session) noteRecord(id string, rec *registry.Shape) {
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
func (s *session) endDependents(ctx context.Context, handle, reason string) error {
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
func (s *session) keepInner(ctx context.Context, rec *registry.Shape) error {
	state := control.StateCreating
	if s.live[rec.ID] != nil {
		state = control.StateLive
	} else if g := s.grouped[rec.ID]; g != nil && g.creating == nil {
		state = control.StateLive
	}
	return s.state(ctx, rec.ID, rec.Handle, func(r *registry.Shape) {
		if r.State == control.StateDeleting {
			r.State, r.Unasked = state, true
		}
	})
}

// sweepInner removes the inner shapes that nobody needs any more. They are left
// alone for a while: the shape that one was made for may be about to come.
func (s *session) sweepInner(ctx context.Context) error {
	var ids []string
	err := s.onMain(ctx, func(context.Context) error {
		for id, r := range s.records {
			if r.unasked && len(s.dependsOn[r.handle]) == 0 && time.Since(r.changed) > s.c.cfg.InnerGrace {
				ids = append(ids, id)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, err := s.shapes.Change(ctx, id, func(r *registry.Shape) bool {
			if !r.Unasked || !r.Alive() || time.Since(r.Changed) <= s.c.cfg.InnerGrace { // wanted meanwhile
				return false
			}
			r.State = control.StateDeleting
			return true
		})
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			return err
		}
	}
	return nil
}
