package consumer

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/filter"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// follower turns fragments into entries of one shape's log. It decides and
// does nothing else: no I/O, no clock. It is owned by the main loop while the
// shape is live, by the shape's own goroutine while it is parked.
type follower struct {
	shapelog.Log

	id string

	table     *pg.TableInfo    // as the shape was made for it; shared by the table's shapes
	structure string           // of table
	files     *pg.TableInfo    // the table with the files that its leaves had when the shape knew all of them; the main loop's
	filesAt   change.LSN       // a look at the catalog from before says nothing of files; the main loop's
	relation  *change.Relation // of table
	finger    string           // of relation
	pred      *predicate.Predicate
	project   []int // columns of the relation that the shape has
	key       []int // columns of the relation that identify a row

	// after is the LSN up to which every transaction is in the log or in the
	// snapshot, and must be passed over.
	after change.LSN
	// held is the snapshot that the log began with, until the change log has
	// passed its LSN; what it holds must be passed over.
	held *change.Snapshot

	outer *outer      // nil for a shape without subqueries
	inner atomic.Bool // an outer shape depends on this one: its changes are noted in sets
	sets  *sets
	ended string // why the shape cannot follow any more

	// The router's, while it is there.
	entry  *filter.Entry[*follower]
	places places
}

// newFollower prepares a shape from its record, for its log.
func newFollower(rec *registry.Shape, log shapelog.Log, sets *sets) (*follower, error) {
	table := rec.Table
	if table == nil {
		return nil, fmt.Errorf("shape %s: its record has no table", rec.Handle)
	}
	pred, err := follow.Compile(rec.Definition.Where, rec.Definition.Params, table, follow.Known(rec.InnerTables))
	if err != nil {
		return nil, fmt.Errorf("shape %s: %w", rec.Handle, err)
	}
	f := &follower{
		Log: log, id: rec.ID,
		table: table, structure: rec.Structure, files: table, relation: &table.Relation, finger: table.Relation.Fingerprint(), pred: pred,
		sets: sets,
	}
	for _, name := range rec.Definition.Columns {
		i := follow.ColumnIndex(f.relation, name)
		if i < 0 {
			return nil, fmt.Errorf("shape %s: table %s.%s has no column %s", rec.Handle, f.relation.Schema, f.relation.Name, name)
		}
		f.project = append(f.project, i)
	}
	f.key = f.project
	if len(table.PrimaryKey) > 0 {
		f.key = nil
		for _, i := range f.project { // in the shape's order of columns
			if slices.Contains(table.PrimaryKey, f.relation.Columns[i].Name) {
				f.key = append(f.key, i)
			}
		}
	}
	if f.outer, err = newOuter(f, rec); err != nil {
		return nil, err
	}
	return f, nil
}

// skips reports whether a transaction is in the log or the snapshot already.
func (s *follower) skips(f *change.Fragment) bool {
	return f.LSN <= s.after || s.held != nil && s.held.Holds(f.XID, f.LSN)
}

// concerns reports whether what a control entry says happened at lsn is news:
// neither in the log yet nor before the snapshot.
func (s *follower) concerns(lsn change.LSN) bool {
	return lsn > s.after && (s.held == nil || lsn > s.held.LSN)
}

// apply offers an op of f, which the shape does not skip.
func (s *follower) apply(f *change.Fragment, op *change.Op) {
	if s.outer != nil {
		s.applyOuter(f, op)
		return
	}
	switch op.Kind {
	case change.Insert:
		if s.pred.Match(op.New) {
			s.emit(f, op.Index, change.Insert, op.New)
		}
	case change.Update:
		s.update(f, op)
	case change.Delete:
		if s.complete(op) && s.pred.Match(op.Old) {
			s.emit(f, op.Index, change.Delete, op.Old)
		}
	case change.Truncate:
		s.emit(f, op.Index, change.Truncate, nil)
	case change.Upsert, change.Discard: // not in the change log
	}
}

func (s *follower) update(f *change.Fragment, op *change.Op) {
	if !s.complete(op) {
		return
	}
	was, is := s.pred.Match(op.Old), s.pred.Match(op.New)
	switch {
	case was && is:
		switch {
		case !equal(op.Old, op.New, s.key): // a changed key is another row to readers
			s.emit(f, op.Index, change.Delete, op.Old)
			s.emit(f, op.Index+1, change.Insert, op.New)
		case !equal(op.Old, op.New, s.project):
			s.emit(f, op.Index, change.Update, op.New)
		}
	case was:
		s.emit(f, op.Index, change.Delete, op.Old)
	case is:
		s.emit(f, op.Index, change.Insert, op.New)
	}
}

// complete checks that the op has the whole old row. Without REPLICA IDENTITY
// FULL it would not, and the shape could not tell which rows leave it.
func (s *follower) complete(op *change.Op) bool {
	if op.Old != nil && !op.KeyOnly {
		return true
	}
	s.ended = fmt.Sprintf("table %s.%s sent an %s without the old row; it needs REPLICA IDENTITY FULL", s.relation.Schema, s.relation.Name, op.Kind)
	return false
}

func equal(a, b change.Row, columns []int) bool {
	for _, c := range columns {
		if (a[c] == nil) != (b[c] == nil) || !bytes.Equal(a[c], b[c]) {
			return false
		}
	}
	return true
}

// emit adds an entry unless the log has it already.
func (s *follower) emit(f *change.Fragment, index uint64, kind change.Kind, row change.Row) {
	s.Unit = s.inUnit()
	if s.inner.Load() && !s.Unit {
		s.sets.note(s.Handle, change.Offset{LSN: f.LSN})
	}
	columns := s.project
	if kind == change.Delete || kind == change.Discard {
		columns = s.key
	}
	s.Op(f, index, kind, row, columns)
}

// inUnit reports whether what is written now counts only with a unit's marker.
func (s *follower) inUnit() bool { return s.outer != nil && s.outer.member != nil }

// commit adds the commit marker of f, which is the table's last fragment of
// its transaction, if the log stands inside that transaction.
func (s *follower) commit(f *change.Fragment) {
	if s.Tail.Open() && s.Tail.Last.LSN == f.LSN && !s.inUnit() {
		s.commitAt(f)
	}
}

// commitAt adds a commit marker at the place of f.
func (s *follower) commitAt(f *change.Fragment) {
	if s.inner.Load() {
		s.sets.note(s.Handle, f.Marker())
	}
	s.Unit = s.inUnit()
	aside := ""
	if s.outer != nil {
		aside = s.outer.aside
	}
	s.Mark(f, aside)
}

// pass is told that the change log has been read up to an LSN on the shape's behalf.
func (s *follower) pass(lsn change.LSN) {
	if s.held != nil && lsn >= s.held.LSN {
		s.held = nil
	}
}
