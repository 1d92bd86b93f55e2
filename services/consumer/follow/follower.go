package follow

import (
	"fmt"
	"slices"
	"sync/atomic"
	"unique"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/filter"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// Follower turns fragments into entries of one shape's log. It decides and
// does nothing else: no I/O, no clock. It is owned by the main loop while the
// shape is live, by the shape's own goroutine while it is parked.
type Follower struct {
	shapelog.Log

	ID string

	Table       *pg.TableInfo         // as the shape was made for it; shared by the table's shapes
	Structure   string                // of table
	Files       *pg.TableInfo         // the table with the files that its leaves had when the shape knew all of them; the main loop's
	FilesAt     change.LSN            // a look at the catalog from before says nothing of files; the main loop's
	Relation    *change.Relation      // of table
	Fingerprint unique.Handle[string] // of relation: many shapes, one text
	Pred        *predicate.Predicate
	Project     []int // columns of the relation that the shape has
	key         []int // columns of the relation that identify a row

	// After is the LSN up to which every transaction is in the log or in the
	// snapshot, and must be passed over.
	After change.LSN
	// Held is the snapshot that the log began with, until the change log has
	// passed its LSN; what it holds must be passed over.
	Held *change.Snapshot

	Outer  *Outer      // nil for a shape without subqueries
	Inner  atomic.Bool // an outer shape depends on this one: changed is told of its changes
	Costly bool        // it has ended because a change would have cost too much
	// MostRows is how many rows the shape may have, 0 for any number.
	MostRows int64
	Ended    string // why the shape cannot follow any more

	changed func(handle string, at change.Offset)

	// The router's, while it is there.
	entry  *filter.Entry[*Follower]
	places places
}

// NewFollower prepares a shape from its record, for its log. changed is told, if the shape is an
// inner one, that its log changes with the commit at an offset, before anything else of that commit
// is seen.
func NewFollower(rec *registry.Shape, log shapelog.Log, changed func(handle string, at change.Offset)) (*Follower, error) {
	table := rec.Table
	if table == nil {
		return nil, fmt.Errorf("shape %s: its record has no table", rec.Handle)
	}
	pred, err := Compile(rec.Definition.Where, rec.Definition.Params, table, Known(rec.InnerTables))
	if err != nil {
		return nil, fmt.Errorf("shape %s: %w", rec.Handle, err)
	}
	f := &Follower{
		Log: log, ID: rec.ID,
		Table: table, Structure: rec.Structure, Files: table, Relation: &table.Relation, Fingerprint: unique.Make(table.Relation.Fingerprint()), Pred: pred,
		changed: changed,
	}
	for _, name := range rec.Definition.Columns {
		i := columnIndex(f.Relation, name)
		if i < 0 {
			return nil, fmt.Errorf("shape %s: table %s.%s has no column %s", rec.Handle, f.Relation.Schema, f.Relation.Name, name)
		}
		f.Project = append(f.Project, i)
	}
	f.key = f.Project
	if len(table.PrimaryKey) > 0 {
		f.key = nil
		for _, i := range f.Project { // in the shape's order of columns
			if slices.Contains(table.PrimaryKey, f.Relation.Columns[i].Name) {
				f.key = append(f.key, i)
			}
		}
	}
	if f.Outer, err = newOuter(f, rec); err != nil {
		return nil, err
	}
	return f, nil
}

// skips reports whether a transaction is in the log or the snapshot already.
func (s *Follower) skips(f *change.Fragment) bool {
	return f.LSN <= s.After || s.Held != nil && s.Held.Holds(f.XID, f.LSN)
}

// Concerns reports whether what a control entry says happened at lsn is news:
// neither in the log yet nor before the snapshot.
func (s *Follower) Concerns(lsn change.LSN) bool {
	return lsn > s.After && (s.Held == nil || lsn > s.Held.LSN)
}

// apply offers an op of f, which the shape does not skip.
func (s *Follower) apply(f *change.Fragment, op *change.Op) {
	if s.Outer != nil {
		s.applyOuter(f, op)
		return
	}
	switch op.Kind {
	case change.Insert:
		if s.Pred.Match(op.New) {
			s.Emit(f, op.Index, change.Insert, op.New)
		}
	case change.Update:
		s.update(f, op)
	case change.Delete:
		if s.complete(op) && s.Pred.Match(op.Old) {
			s.Emit(f, op.Index, change.Delete, op.Old)
		}
	case change.Truncate:
		s.Emit(f, op.Index, change.Truncate, nil)
	case change.Upsert, change.Discard: // not in the change log
	}
}

func (s *Follower) update(f *change.Fragment, op *change.Op) {
	if !s.complete(op) {
		return
	}
	switch reconcile.Decide(op, s.Pred.Match(op.Old), s.Pred.Match(op.New), s.key, s.Project) {
	case reconcile.Nothing:
	case reconcile.Insert:
		s.Emit(f, op.Index, change.Insert, op.New)
	case reconcile.Update:
		s.Emit(f, op.Index, change.Update, op.New)
	case reconcile.Delete:
		s.Emit(f, op.Index, change.Delete, op.Old)
	case reconcile.Replace:
		s.Emit(f, op.Index, change.Delete, op.Old)
		s.Emit(f, op.Index+1, change.Insert, op.New)
	}
}

// complete checks that the op has the whole old row. Without REPLICA IDENTITY
// FULL it would not, and the shape could not tell which rows leave it.
func (s *Follower) complete(op *change.Op) bool {
	if op.Old != nil && !op.KeyOnly {
		return true
	}
	s.Ended = fmt.Sprintf("table %s.%s sent an %s without the old row; it needs REPLICA IDENTITY FULL", s.Relation.Schema, s.Relation.Name, op.Kind)
	return false
}

// Emit adds an entry unless the log has it already.
func (s *Follower) Emit(f *change.Fragment, index uint64, kind change.Kind, row change.Row) {
	s.Unit = s.inUnit()
	if s.Inner.Load() && !s.Unit {
		s.changed(s.Handle, change.Offset{LSN: f.LSN})
	}
	columns := s.Project
	if kind == change.Delete || kind == change.Discard {
		columns = s.key
	}
	s.Op(f, index, kind, row, columns)
}

// inUnit reports whether what is written now counts only with a unit's marker.
func (s *Follower) inUnit() bool { return s.Outer != nil && s.Outer.Member != nil }

// commit adds the commit marker of f, which is the table's last fragment of
// its transaction, if the log stands inside that transaction.
func (s *Follower) commit(f *change.Fragment) {
	if s.Tail.Open() && s.Tail.Last.LSN == f.LSN && !s.inUnit() {
		s.commitAt(f)
	}
}

// commitAt adds a commit marker at the place of f.
func (s *Follower) commitAt(f *change.Fragment) {
	if s.Inner.Load() {
		s.changed(s.Handle, f.Marker())
	}
	s.Unit = s.inUnit()
	deferred := ""
	if s.Outer != nil {
		deferred = s.Outer.Deferred
	}
	s.Mark(f, deferred)
}

// Pass is told that the change log has been read up to an LSN on the shape's behalf.
func (s *Follower) Pass(lsn change.LSN) {
	if s.Held != nil && lsn >= s.Held.LSN {
		s.Held = nil
	}
}

// Has is an LSN up to which everything is in the shape's log, as far as the
// log itself and the last checkpoint tell: a log is written in the order of the change log.
func (s *Follower) Has() change.LSN { return max(s.After, s.Tail.Committed.LSN) }

// CheckRelation reports whether the shape ends because its table is not what
// it was, and notes why.
func (s *Follower) CheckRelation(rel *change.Relation, f *change.Fragment) bool {
	if f.Relation == s.Fingerprint.Value() || s.skips(f) {
		return false
	}
	s.Ended = s.Relation.Diff(rel)
	if s.Ended == "" {
		s.Ended = fmt.Sprintf("table %s.%s changed", s.Relation.Schema, s.Relation.Name)
	}
	return true
}
