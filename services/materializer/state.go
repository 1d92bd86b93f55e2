package materializer

import (
	"bytes"
	"fmt"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// state is a value set as it stands at a commit marker of the inner shape's
// log, and what the open transaction behind that has changed so far. It holds no
// ops, only what has changed in the end: a count for each value, and a value for each row
// where rows have to be remembered. Pure; not safe for concurrent use.
type state struct {
	*layout

	values valueset.Counts // at the marker
	deltas valueset.Counts // of the open transaction

	// rows are the values of rows, the open transaction's ops included, if the
	// layout is keyed.
	rows valueset.Table
	// undo is what rows held at the marker where that differs, for a log that
	// can abort what stands behind one. So it is no larger than the shape was and is.
	undo valueset.Table

	inconsistent int64 // ops of the open transaction that do not fit what is there; a sign that a log is damaged

	row, value, saved []byte // scratch
}

// Kinds of undo entries; the second is followed by the value.
const (
	wasAbsent = 0
	wasThere  = 1
)

// Load adds a row of the snapshot with which the log begins.
func (s *state) Load(row change.Row) error {
	if len(row) != s.columns {
		return fmt.Errorf("a snapshot row of %d columns, want %d", len(row), s.columns)
	}
	s.value = s.layout.value(s.value[:0], row, s.selected)
	s.values.Add(s.value, 1)
	if s.keyed() {
		s.row = s.rowKey(s.row[:0], row)
		s.rows.Set(s.row, s.value)
	}
	return nil
}

// Apply applies an op of the open transaction.
func (s *state) Apply(kind change.Kind, row change.Row) error {
	want := s.columns
	switch kind {
	case change.Truncate:
		s.truncate()
		return nil
	case change.Delete, change.Discard:
		want = len(s.key)
	case change.Insert, change.Update, change.Upsert:
	default:
		return fmt.Errorf("an op of kind %s, which this program does not know; upgrade it", kind)
	}
	if len(row) != want {
		return fmt.Errorf("%s with %d columns, want %d", kind, len(row), want)
	}
	if s.keyed() {
		s.applyKeyed(kind, row)
		return nil
	}
	switch kind {
	case change.Insert:
		s.value = s.layout.value(s.value[:0], row, s.selected)
		s.deltas.Add(s.value, 1)
	case change.Delete:
		s.value = s.layout.value(s.value[:0], row, s.inKey)
		s.deltas.Add(s.value, -1)
	case change.Update: // leaves the key as it is, and so the value
	default:
		return fmt.Errorf("%s in the log of a shape without subqueries", kind)
	}
	return nil
}

func (s *state) applyKeyed(kind change.Kind, row change.Row) {
	if kind == change.Delete || kind == change.Discard {
		s.row = keyOf(s.row[:0], row)
		old, ok := s.rows.Get(s.row)
		if !ok {
			if kind == change.Delete {
				s.inconsistent++
			}
			return
		}
		s.deltas.Add(old, -1)
		s.remember(old, true)
		s.rows.Delete(s.row)
		s.forget(nil, false)
		return
	}
	s.row = s.rowKey(s.row[:0], row)
	s.value = s.layout.value(s.value[:0], row, s.selected)
	old, ok := s.rows.Get(s.row)
	if ok && kind == change.Insert || !ok && kind == change.Update {
		s.inconsistent++
	}
	if ok && bytes.Equal(old, s.value) {
		return
	}
	if ok {
		s.deltas.Add(old, -1)
	}
	s.deltas.Add(s.value, 1)
	s.remember(old, ok)
	s.rows.Set(s.row, s.value)
	s.forget(s.value, true)
}

// remember notes what s.row held at the marker, before its first change.
func (s *state) remember(old []byte, there bool) {
	if !s.unit {
		return
	}
	if _, ok := s.undo.Get(s.row); ok {
		return
	}
	s.saved = append(s.saved[:0], wasAbsent)
	if there {
		s.saved = append(append(s.saved[:0], wasThere), old...)
	}
	s.undo.Set(s.row, s.saved)
}

// forget drops the note if s.row holds again what it held.
func (s *state) forget(now []byte, there bool) {
	was, ok := s.undo.Get(s.row)
	if ok && there == (was[0] == wasThere) && (!there || bytes.Equal(was[1:], now)) {
		s.undo.Delete(s.row)
	}
}

// truncate takes every row away: what is left of the transaction so far is that
// every value of before is gone.
func (s *state) truncate() {
	s.deltas.Clear()
	s.values.All(func(value []byte, n int64) bool {
		s.deltas.Add(value, -n)
		return true
	})
	if s.unit {
		s.rows.All(func(key, value []byte) bool {
			s.row = append(s.row[:0], key...)
			s.remember(value, true)
			return true
		})
		s.dropNoChange()
	}
	s.rows.Clear()
}

// dropNoChange drops the notes of rows that were absent, now that all are.
func (s *state) dropNoChange() {
	var kept valueset.Table
	s.undo.All(func(key, was []byte) bool {
		if was[0] == wasThere {
			kept.Set(key, was)
		}
		return true
	})
	s.undo = kept
}

// Commit makes the open transaction part of the set. Its deltas are to be taken before.
func (s *state) Commit() {
	s.deltas.All(func(value []byte, n int64) bool {
		s.values.Add(value, n)
		return true
	})
	s.deltas.Clear()
	s.undo.Clear()
	s.inconsistent = 0
}

// Abort takes the open transaction back.
func (s *state) Abort() {
	s.deltas.Clear()
	s.inconsistent = 0
	s.undo.All(func(key, was []byte) bool {
		if was[0] == wasThere {
			s.rows.Set(key, was[1:])
		} else {
			s.rows.Delete(key)
		}
		return true
	})
	s.undo.Clear()
}

// Deltas are what the open transaction has changed, in the order of values.
func (s *state) Deltas() (d wire.Deltas) {
	d = d.Grow(s.deltas.Bytes(), s.deltas.Len())
	s.deltas.InOrder(func(value []byte, n int64) bool {
		d = d.Append(value, n)
		return true
	})
	return d
}
