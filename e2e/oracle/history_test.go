package oracle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
)

// version is a row from one transaction to another: it is there after the
// born-th transaction in commit order, counted from 1, and until before the dead-th.
type version struct {
	table      *Table
	row        change.Row
	born, dead int
}

const never = 1 << 30

// history is every version of every row. It needs no database: which row a
// change is about, its key or all of its values say.
type history struct {
	txns     []Txn // by LSN
	versions []version
	born     [][]int // by transaction: versions
	dead     [][]int

	redefined map[int][]*Table // by transaction: what tables are from it on

	snapshots []change.Snapshot // that somebody has had
}

// newHistory replays transactions. Rows that came and went within one transaction are not in it. Of rows that are the same in
// all values, which only tables without a key have, snapshots tell which one a transaction cannot have meant.
func newHistory(s *Schema, txns []Txn, snapshots []change.Snapshot) (*history, error) {
	h := &history{txns: txns, snapshots: snapshots, born: make([][]int, len(txns)+1), dead: make([][]int, len(txns)+1), redefined: map[int][]*Table{}}
	tables := map[string]*Table{}
	live := map[*Table]map[string][]int{}
	for _, t := range s.Tables {
		tables[t.SQL()] = t
		live[t] = map[string][]int{}
	}
	for i := range txns {
		if i > 0 && txns[i].LSN <= txns[i-1].LSN {
			return nil, fmt.Errorf("transaction %s after %s", txns[i].LSN, txns[i-1].LSN)
		}
		for _, d := range txns[i].DDL {
			h.redefine(tables, live, i+1, d)
		}
		for j := range txns[i].Ops {
			op := &txns[i].Ops[j]
			t := tables[op.Table]
			if t == nil {
				return nil, fmt.Errorf("transaction %s changes %s, which is not of the schema", txns[i].LSN, op.Table)
			}
			if err := h.op(live[t], t, i+1, op); err != nil {
				return nil, fmt.Errorf("transaction %s, op %d of table %s: %w", txns[i].LSN, j, op.Table, err)
			}
		}
	}
	for id, v := range h.versions {
		if v.born == v.dead {
			continue
		}
		h.born[v.born] = append(h.born[v.born], id)
		if v.dead != never {
			h.dead[v.dead] = append(h.dead[v.dead], id)
		}
	}
	return h, nil
}

func (h *history) op(live map[string][]int, t *Table, n int, op *Op) error {
	if op.Kind == change.Truncate {
		for _, ids := range live {
			for _, id := range ids {
				h.versions[id].dead = n
			}
		}
		clear(live)
		return nil
	}
	row := op.New
	if op.Kind != change.Insert {
		old := op.Old
		if old == nil {
			old = op.New // the key was not changed
		}
		ids := live[t.keyOf(old)]
		if len(ids) == 0 {
			return fmt.Errorf("%s of a row that is not there: %q", op.Kind, old)
		}
		i := h.meant(ids, n)
		last := ids[i]
		h.versions[last].dead = n
		if ids = slices.Delete(ids, i, i+1); len(ids) == 0 {
			delete(live, t.keyOf(old))
		} else {
			live[t.keyOf(old)] = ids
		}
		if len(op.Unchanged) > 0 {
			row = slices.Clone(row)
			for _, i := range op.Unchanged {
				row[i] = h.versions[last].row[i]
			}
		}
	}
	if row != nil {
		key := t.keyOf(row)
		if len(live[key]) > 0 && len(t.Key) > 0 {
			return fmt.Errorf("%s of a row that is there: %q", op.Kind, row)
		}
		live[key] = append(live[key], len(h.versions))
		h.versions = append(h.versions, version{table: t, row: row, born: n, dead: never})
	}
	return nil
}

// meant is the place of the version that the n-th transaction changes, among those that are the same: the oldest one that it may have
// seen. Whoever commits may be visible much later, and a snapshot that sees the one and not the other says that it was so here.
func (h *history) meant(ids []int, n int) int {
	for i, id := range ids {
		born := h.versions[id].born
		hidden := func(s change.Snapshot) bool { return s.Sees(h.txns[n-1].XID) && !s.Sees(h.txns[born-1].XID) }
		if born == n || len(ids) == 1 || !slices.ContainsFunc(h.snapshots, hidden) {
			return i
		}
	}
	return 0
}

// keyOf is an injective text of what identifies a row.
func (t *Table) keyOf(row change.Row) string {
	var b strings.Builder
	add := func(v []byte) {
		if v == nil {
			b.WriteString("-,")
			return
		}
		b.WriteString(strconv.Quote(string(v)))
		b.WriteByte(',')
	}
	if len(t.Key) == 0 {
		for _, v := range row {
			add(v)
		}
		return b.String()
	}
	for _, k := range t.Key {
		add(row[k])
	}
	return b.String()
}

// moment is a set of transactions: those up to one in the order of commits,
// without some.
type moment struct {
	last     int
	deferred []int // ascending, none above last
}

func (m moment) has(n int) bool {
	if n > m.last {
		return false
	}
	_, deferred := slices.BinarySearch(m.deferred, n)
	return !deferred
}

// sees reports whether a version is there at a moment.
func (m moment) sees(v *version) bool { return m.has(v.born) && !m.has(v.dead) }

// at is the transaction of an LSN. There is none where only a barrier, or
// nothing that is published, was committed.
func (h *history) at(lsn change.LSN) (n int, ok bool) {
	n = h.upTo(lsn)
	return n, n > 0 && h.txns[n-1].LSN == lsn
}

// upTo is how many transactions committed at or before an LSN.
func (h *history) upTo(lsn change.LSN) int {
	n, found := slices.BinarySearchFunc(h.txns, lsn, func(t Txn, lsn change.LSN) int {
		switch {
		case t.LSN < lsn:
			return -1
		case t.LSN > lsn:
			return 1
		}
		return 0
	})
	if found {
		return n + 1
	}
	return n
}
