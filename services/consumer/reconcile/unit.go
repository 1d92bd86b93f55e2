package reconcile

import (
	"iter"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/pkg/change"
)

// Members is a value set as a clause looks at it.
type Members = predicate.Set

// Clause is a where clause with subqueries, of rows in the form of the change
// log.
type Clause interface {
	// Match reports whether the clause is TRUE of the row when the i-th
	// subquery selects sets[i].
	Match(row change.Row, sets []Members) bool
	// Key appends the key of the value that the row looks up in the i-th
	// subquery's set.
	Key(i int, key []byte, row change.Row) []byte
}

// Subquery is what a unit has to know of a subquery of a clause.
type Subquery struct {
	Set int // place among the unit's sets
	// Monotone says that the subquery stands under no NOT: the clause is TRUE
	// or not by which values are members alone, whatever NULLs the set holds
	// and whether it is empty.
	Monotone bool
	Tuple    bool // looks up several columns at once
}

// Shape is the rule by which a shape follows its table.
type Shape struct {
	Clause     Clause
	Subqueries []Subquery
	Key        []int // columns that identify a row; all of its columns if the table has no key
	Columns    []int // columns that the shape has, the key's among them
}

// Emit takes an op for a shape's log. The row is whole, also that of a Delete
// or Discard; it is nil for a Truncate. Indexes ascend, and two ops of one
// change have the indexes that change.OpStep leaves room for.
type Emit func(index uint64, kind change.Kind, row change.Row)

// Op decides what an op becomes while the sets are what they are: outside of
// units. An update or delete has its whole old row.
func (s *Shape) Op(op *change.Op, sets []Members, emit Emit) {
	if op.Kind == change.Truncate {
		emit(op.Index, change.Truncate, nil)
		return
	}
	s.plain(op, s.matches(op.Old, sets), s.matches(op.New, sets), emit)
}

func (s *Shape) matches(row change.Row, sets []Members) bool {
	return row != nil && s.Clause.Match(row, sets)
}

// plain is an op that finds the shape exact: was says whether the old row is
// in it, is whether the new one belongs there.
func (s *Shape) plain(op *change.Op, was, is bool, emit Emit) {
	switch Decide(op, was, is, s.Key, s.Columns) {
	case Nothing:
	case Insert:
		emit(op.Index, change.Insert, op.New)
	case Update:
		emit(op.Index, change.Update, op.New)
	case Delete:
		emit(op.Index, change.Delete, op.Old)
	case Replace:
		emit(op.Index, change.Delete, op.Old)
		emit(op.Index+1, change.Insert, op.New)
	}
}

// Member is a shape in a unit. It is owned by one goroutine, the one that owns
// the sets.
type Member struct {
	shape           *Shape
	sets            []*Set // by subquery
	frozen, running []Members
	key             []byte
}

// Join makes a shape a member of the unit of these sets.
func (s *Shape) Join(sets []*Set) *Member {
	m := &Member{shape: s}
	for _, q := range s.Subqueries {
		set := sets[q.Set]
		m.sets = append(m.sets, set)
		m.frozen = append(m.frozen, set.frozen)
		m.running = append(m.running, set.running)
	}
	return m
}

// Concerned reports whether what was added to the sets since they were frozen
// puts any row of the shape in question. While no member is concerned, there
// is no need for a unit: the running sets can take the frozen ones' place.
func (m *Member) Concerned() bool {
	for i, q := range m.shape.Subqueries {
		if m.sets[i].Len() > 0 || q.every(m.sets[i]) {
			return true
		}
	}
	return false
}

// Changed says which rows are in question because of the i-th subquery: those
// that look up one of the values, or every row. A row that looks up a NULL is
// never among the former: its membership is never TRUE, or a matter of every row.
func (m *Member) Changed(i int) (values iter.Seq[[]byte], every bool) {
	return m.sets[i].Values(), m.shape.Subqueries[i].every(m.sets[i])
}

// InQuestion reports whether a row is among those that Changed speaks of.
func (m *Member) InQuestion(row change.Row) bool {
	for i, q := range m.shape.Subqueries {
		set := m.sets[i]
		if q.every(set) {
			return true
		}
		if set.Len() == 0 {
			continue
		}
		m.key = m.shape.Clause.Key(i, m.key[:0], row)
		if set.running.Marked(m.key) {
			return true
		}
	}
	return false
}

// Op decides what an op of the unit becomes. The verdicts of its transaction
// have been added to the sets. An update or delete has its whole old row.
func (m *Member) Op(op *change.Op, emit Emit) {
	if op.Kind == change.Truncate {
		emit(op.Index, change.Truncate, nil)
		return
	}
	was, is := m.shape.matches(op.Old, m.frozen), m.shape.matches(op.New, m.frozen)
	if (op.Old == nil || !m.InQuestion(op.Old)) && (op.New == nil || !m.InQuestion(op.New)) {
		m.shape.plain(op, was, is, emit)
		return
	}
	// The log may or may not hold the old row; it does not if the row did not
	// match under the frozen sets.
	is = is && m.shape.matches(op.New, m.running)
	index := op.Index
	if was && (!is || !Same(op.Old, op.New, m.shape.Key)) {
		emit(index, change.Discard, op.Old)
		index++
	}
	if is {
		emit(index, change.Upsert, op.New)
	}
}

// Reread decides what a row becomes that was read in the unit's snapshot
// after everything the snapshot sees was added. Rows that are not in question may be
// offered; nothing becomes of them. ok is false if nothing is to be written.
func (m *Member) Reread(row change.Row) (kind change.Kind, ok bool) {
	switch {
	case !m.InQuestion(row):
		return 0, false
	case m.shape.matches(row, m.running):
		return change.Upsert, true
	case m.shape.matches(row, m.frozen):
		return change.Discard, true
	}
	return 0, false
}
