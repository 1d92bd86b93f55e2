package oracle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// verdict is what the judge found.
type verdict struct {
	wrong    []string
	first    *trial // the first that something was wrong with, nil if it was none's
	checked  int    // markers
	skipped  int    // markers of logs with very many
	nested   int    // markers of nested shapes
	units    int
	aborts   int
	deferred int // markers with transactions deferred
	read     int // markers at which readers were compared
	took     time.Duration

	generations int // compared with the log
	besides     int // of these, those whose rows lack something that committed before their snapshot
}

func (v *verdict) fault(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

// faultOf is fault, of a trial.
func (v *verdict) faultOf(t *trial, format string, args ...any) {
	if v.first == nil && t.at.last > 0 {
		v.first = t
		t.wrongAt = t.h.txns[t.at.last-1].LSN
	}
	v.fault("%s: %s", t.name(), fmt.Sprintf(format, args...))
}

// trial is a shape before the judge.
type trial struct {
	record *Record
	h      *history

	next func() (*logcheck.Marker, bool)
	stop func()
	end  *logcheck.State
	err  error

	marker  *logcheck.Marker // the one to be judged next
	at      moment
	n       int // markers before it
	folds   int // generations that were met
	every   int // how many there are to one that is judged, if they are many
	wrongAt change.LSN

	snapshot change.Snapshot
	hidden   []int // transactions before the snapshot's position that it does not see
	top      int   // the last one before that position
}

// judge compares every shape with its SELECT at each of its commit markers, and
// at the end. url is of an empty database.
func judge(ctx context.Context, url string, r *Recording) (*verdict, error) {
	began := time.Now()
	h, err := newHistory(r.Schema, r.Txns, r.snapshots())
	if err != nil {
		return nil, err
	}
	m, err := newMirror(ctx, url, r.Schema, h)
	if err != nil {
		return nil, err
	}
	defer m.conn.Close(context.WithoutCancel(ctx))
	v := &verdict{}
	var open []*trial
	most := max(fewMarkers, allMarkers/max(len(r.Shapes), 1))
	for _, rec := range r.Shapes {
		t := v.newTrial(rec, h, most) //nolint:contextcheck // a log that was read needs none
		defer t.stop()
		if t.advance(v) {
			open = append(open, t)
		} else {
			v.finish(t)
		}
	}
	// Trials take turns in the order of their moments, so that the mirror goes forward only.
	for len(open) > 0 {
		t := slices.MinFunc(open, func(a, b *trial) int { return cmp.Compare(a.at.last, b.at.last) })
		ok, err := v.marker(ctx, m, t)
		if err != nil {
			return nil, err
		}
		if !ok || !t.advance(v) {
			v.finish(t)
			open = slices.DeleteFunc(open, func(o *trial) bool { return o == t })
		}
	}
	for _, rec := range r.Shapes {
		if err := v.atRest(ctx, m, rec); err != nil {
			return nil, err
		}
	}
	v.took = time.Since(began)
	return v, nil
}

// How many markers are judged of a shape, and of all shapes together, before
// the rest is judged here and there only.
const (
	fewMarkers = 1000
	allMarkers = 60000
)

func (v *verdict) newTrial(rec *Record, h *history, most int) *trial {
	t := &trial{record: rec, h: h}
	markers := 0
	_, _ = rec.Log.Play(func(*logcheck.Marker) error { markers++; return nil }) // its errors come below
	t.every = 1 + markers/most
	t.next, t.stop = iter.Pull(func(yield func(*logcheck.Marker) bool) {
		t.end, t.err = rec.Log.Play(func(m *logcheck.Marker) error {
			if sum, ok := rec.Reads[m.Offset]; ok {
				v.read++
				if sum != digest(m.Rows()) {
					v.fault("%s: a reader held other rows at %s than the log", t.name(), m.Offset)
				}
			}
			v.fold(t, m)
			if !yield(m) {
				return errStopped
			}
			return nil
		})
	})
	return t
}

// fold compares the generations that are the shape at a marker with what the log is there.
func (v *verdict) fold(t *trial, m *logcheck.Marker) {
	for _, g := range t.record.Log.Generations {
		if g.Offset() != m.Offset {
			continue
		}
		t.folds++
		v.generations++
		if len(g.Besides) > 0 {
			v.besides++
		}
		rows, err := t.record.Log.Fold(g)
		if err != nil {
			v.faultOf(t, "generation %d: %v", g.Number, err)
		} else if d := logcheck.Diff(rows, m.Rows()); d != "" {
			v.faultOf(t, "at marker %s generation %d is not what the log is: %s", m.Offset, g.Number, d)
		}
	}
}

var errStopped = errors.New("the judge has heard enough")

// advance brings the trial to its next marker, if there is one.
func (t *trial) advance(v *verdict) bool {
	m, ok := t.next()
	if !ok {
		return false
	}
	at, err := t.moment(m)
	if err == nil && at.last < t.at.last {
		err = fmt.Errorf("marker %s is of an earlier moment than the one before", m.Offset)
	}
	if err != nil {
		v.faultOf(t, "%v", err)
		return false
	}
	t.marker, t.at = m, at
	t.n++
	return true
}

func (t *trial) name() string {
	s := t.record.Log.Shape
	return fmt.Sprintf("%s shape %s (%s.%s WHERE %s)", t.record.Kind, s.Handle, s.Schema, s.Table, s.Where)
}

// handles are those of the shape and of the shapes that it depends on.
func (t *trial) handles() []string {
	s := t.record.Log.Shape
	return append([]string{s.Handle}, s.Subqueries...)
}

// moment is the set of transactions that a marker is about: what the log's
// snapshot saw, and what committed up to the marker, without what is deferred.
func (t *trial) moment(m *logcheck.Marker) (moment, error) {
	if m.Offset.IsZero() {
		t.snapshot = m.Snapshot
		t.top = t.h.upTo(m.Snapshot.LSN - 1)
		for n := 1; n <= t.top; n++ {
			if !m.Snapshot.Sees(t.h.txns[n-1].XID) {
				t.hidden = append(t.hidden, n)
			}
		}
		return moment{last: t.top, deferred: t.hidden}, nil
	}
	last := t.h.upTo(m.Offset.LSN)
	if m.Offset.LSN < t.snapshot.LSN {
		var later []int
		for _, n := range t.hidden {
			if n > last {
				later = append(later, n)
			}
		}
		return moment{last: t.top, deferred: later}, nil
	}
	deferred, err := wire.ParseDeferred(m.Tail.Deferred)
	if err != nil {
		return moment{}, err
	}
	at := moment{last: last}
	for _, lsn := range deferred {
		if n, ok := t.h.at(lsn); ok {
			at.deferred = append(at.deferred, n)
		}
	}
	for _, b := range m.Behind { // in the same message, so the tail speaks of after them
		if b.Offset.LSN == m.Offset.LSN {
			n := slices.IndexFunc(t.h.txns[:last], func(x Txn) bool { return x.XID == b.XID }) + 1
			if n > 0 {
				at.deferred = append(at.deferred, n)
			}
		}
	}
	at.deferred = slices.DeleteFunc(at.deferred, func(n int) bool { return n > last })
	slices.Sort(at.deferred)
	return at, nil
}

// marker judges the marker that a trial stands at. ok is false if the rest of
// the log would only repeat the fault.
func (v *verdict) marker(ctx context.Context, m *mirror, t *trial) (ok bool, err error) {
	if t.every > 1 && t.n > fewMarkers/2 && t.n%t.every > 0 && !t.marker.Unit {
		v.skipped++
		return true, nil
	}
	want, err := m.rows(ctx, t.at, t.record.Log.Shape)
	if err != nil {
		return false, err
	}
	v.checked++
	if t.record.Kind == Nested {
		v.nested++
	}
	if len(t.at.deferred) > 0 {
		v.deferred++
	}
	if d := logcheck.Diff(t.marker.Rows(), want); d != "" {
		v.faultOf(t, "at marker %s (transaction %d, unit %t), after %s: %s", t.marker.Offset, t.marker.XID, t.marker.Unit, t.h.describe(t.at), d)
		return false, nil
	}
	return true, nil
}

func (h *history) describe(m moment) string {
	s := fmt.Sprintf("%d transactions", m.last)
	if m.last > 0 {
		s += " up to " + h.txns[m.last-1].LSN.String()
	}
	for i, n := range m.deferred {
		if i == 0 {
			s += " without"
		}
		s += fmt.Sprintf(" %s (xid %d)", h.txns[n-1].LSN, h.txns[n-1].XID)
	}
	return s
}

// finish takes what is to be said of a log when it has been read.
func (v *verdict) finish(t *trial) {
	t.stop()
	switch {
	case errors.Is(t.err, errStopped):
	case t.err != nil:
		v.faultOf(t, "%v", t.err)
	case t.end != nil:
		if n := len(t.record.Log.Generations); t.folds != n {
			v.faultOf(t, "of %d generations %d are of no marker of its log", n, n-t.folds)
		}
		v.units += t.end.Units
		v.aborts += t.end.Aborts
		if t.end.Ended != "" {
			v.faultOf(t, "it ended, though nothing asked for it: %s", t.end.Ended)
		}
	}
}

// atRest compares a shape with its SELECT after everything.
func (v *verdict) atRest(ctx context.Context, m *mirror, rec *Record) error {
	if !rec.Rest {
		return nil
	}
	t := &trial{record: rec}
	end, err := rec.Log.Play(nil) //nolint:contextcheck // a log that was read needs none
	if err != nil {
		return nil //nolint:nilerr // said already
	}
	if end.Open {
		v.fault("%s: the log ends inside a transaction", t.name())
	}
	want, err := m.rows(ctx, moment{last: len(m.h.txns)}, rec.Log.Shape)
	if err != nil {
		return err
	}
	if d := logcheck.Diff(end.Rows, want); d != "" {
		v.fault("%s, at rest (its log ends at %s): %s", t.name(), end.Last, d)
	}
	return nil
}
