package materializer

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/wire"
)

const (
	oidInt8 = 20
	oidText = 25
)

// record is an inner shape's: columns a (bigint), b and c (text).
func record(primaryKey ...string) *registry.Shape {
	return &registry.Shape{
		ID: "inner", Handle: "inner-1", Definition: shape.Definition{Schema: "public", Table: "t", Columns: []string{"a", "b", "c"}},
		Table: &pg.TableInfo{PrimaryKey: primaryKey, Relation: change.Relation{Schema: "public", Name: "t", Columns: []change.Column{
			{Name: "a", Type: oidInt8}, {Name: "x", Type: oidText}, {Name: "b", Type: oidText}, {Name: "c", Type: oidText},
		}}},
	}
}

func mustLayout(tb testing.TB, selected []int, unit bool, primaryKey ...string) *layout {
	tb.Helper()
	l, err := newLayout(record(primaryKey...), selected, unit)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestRowsAreRememberedOnlyWhereDeletesDoNotTell(t *testing.T) {
	for _, c := range []struct {
		name     string
		selected []int
		unit     bool
		key      []string
		keyed    bool
	}{
		{name: "the key itself", selected: []int{0}, key: []string{"a"}},
		{name: "a part of the key", selected: []int{1}, key: []string{"a", "b"}},
		{name: "the key in another order", selected: []int{1, 0}, key: []string{"a", "b"}},
		{name: "another column", selected: []int{1}, key: []string{"a"}, keyed: true},
		{name: "the key and another column", selected: []int{0, 2}, key: []string{"a"}, keyed: true},
		{name: "no primary key: the whole row is the key", selected: []int{2}},
		{name: "units are idempotent", selected: []int{0}, unit: true, key: []string{"a"}, keyed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if l := mustLayout(t, c.selected, c.unit, c.key...); l.keyed() != c.keyed {
				t.Errorf("keyed is %t", l.keyed())
			}
		})
	}
}

// world is the inner shape as SQL sees it, and its log as the consumer writes it.
type world struct {
	t       *rapid.T
	l       *layout
	unique  bool             // a is the primary key
	rows    map[string][]row // by key
	entries []entry
	lsn     change.LSN
	index   uint64
	xid     change.XID
	open    *wire.Entry
}

// row is a row of the inner shape; "-" stands for NULL.
type row [3]string

func (r row) cells() change.Row {
	cells := make(change.Row, len(r))
	for i, v := range r {
		if v != "-" {
			cells[i] = []byte(v)
		}
	}
	return cells
}

// entry is an entry of the log, and what it leaves if it has a marker.
type entry struct {
	wire.Entry

	rows map[string][]row
}

func (w *world) key(r row) string {
	if w.unique {
		return r[0]
	}
	return r[0] + "," + r[1] + "," + r[2]
}

func (w *world) keyCells(r row) change.Row {
	var key change.Row
	for _, c := range w.l.key {
		key = append(key, r.cells()[c])
	}
	return key
}

func (w *world) snapshot() map[string][]row {
	clone := make(map[string][]row, len(w.rows))
	for k, v := range w.rows {
		clone[k] = slices.Clone(v)
	}
	return clone
}

func (w *world) op(kind change.Kind, cells change.Row) {
	if w.open == nil {
		e := wire.Entry{Kind: wire.EntryOps, XID: w.xid, LSN: w.lsn}
		if w.l.unit {
			e.Kind = wire.EntryUnit
		}
		w.open = &e
	}
	w.open.Ops = append(w.open.Ops, wire.LogOp{Index: w.index, Kind: kind, Row: cells})
	w.index += change.OpStep
	if rapid.IntRange(0, 3).Draw(w.t, "new entry") == 0 {
		w.flush()
	}
}

func (w *world) flush() {
	if w.open != nil {
		w.entries = append(w.entries, entry{Entry: *w.open})
		w.open = nil
	}
}

func (w *world) draw() row {
	value := rapid.SampledFrom([]string{"-", "", "x", "y", "z"})
	return row{strconv.Itoa(rapid.IntRange(0, 12).Draw(w.t, "a")), value.Draw(w.t, "b"), value.Draw(w.t, "c")}
}

func (w *world) insert(r row) {
	if k := w.key(r); w.unique && len(w.rows[k]) > 0 {
		return
	}
	w.rows[w.key(r)] = append(w.rows[w.key(r)], r)
	w.op(change.Insert, r.cells())
}

func (w *world) delete(r row) {
	k := w.key(r)
	if len(w.rows[k]) == 0 {
		return
	}
	old := w.rows[k][len(w.rows[k])-1]
	if w.rows[k] = w.rows[k][:len(w.rows[k])-1]; len(w.rows[k]) == 0 {
		delete(w.rows, k)
	}
	w.op(change.Delete, w.keyCells(old))
}

func (w *world) update(r row) {
	k := w.key(r)
	if !w.unique || len(w.rows[k]) == 0 {
		return
	}
	w.rows[k] = []row{r}
	w.op(change.Update, r.cells())
}

// step does something that a transaction or a unit does.
func (w *world) step() {
	r := w.draw()
	switch rapid.IntRange(0, 11).Draw(w.t, "step") {
	case 0, 1, 2:
		w.insert(r)
	case 3:
		w.delete(r)
	case 4, 5:
		w.update(r)
	case 6: // a changed key
		w.delete(r)
		w.insert(w.draw())
	case 7: // toggled to and fro
		for range rapid.IntRange(1, 4).Draw(w.t, "toggles") {
			w.insert(r)
			w.delete(r)
		}
	case 8:
		if rapid.IntRange(0, 3).Draw(w.t, "truncate") == 0 {
			clear(w.rows)
			w.op(change.Truncate, nil)
		}
	default:
		if !w.l.unit {
			return
		}
		if rapid.Bool().Draw(w.t, "upsert") {
			w.rows[w.key(r)] = []row{r}
			w.op(change.Upsert, r.cells())
		} else {
			delete(w.rows, w.key(r))
			w.op(change.Discard, w.keyCells(r))
		}
	}
}

// transaction appends a transaction or unit, perhaps after aborted attempts at it.
func (w *world) transaction() {
	before, lsn := w.snapshot(), w.lsn
	for {
		w.lsn, w.xid, w.index = w.lsn+change.LSN(rapid.IntRange(1, 50).Draw(w.t, "lsn")), w.xid+1, 0
		for range rapid.IntRange(0, 12).Draw(w.t, "ops") {
			w.step()
			if w.l.unit && rapid.IntRange(0, 5).Draw(w.t, "next of the unit") == 0 {
				w.flush()
				w.lsn, w.index = w.lsn+1, 0
			}
		}
		if !w.l.unit || rapid.IntRange(0, 2).Draw(w.t, "aborted") > 0 {
			break
		}
		w.flush()
		w.entries = append(w.entries, entry{Entry: wire.Entry{Kind: wire.EntryAbort}})
		w.rows, w.lsn = before, lsn // the next attempt repeats offsets
		before = w.snapshot()
	}
	if w.open == nil {
		w.open = &wire.Entry{Kind: wire.EntryOps, XID: w.xid, LSN: w.lsn}
	}
	w.open.Last, w.open.End = true, w.index
	w.entries = append(w.entries, entry{Entry: *w.open, rows: w.snapshot()})
	w.open = nil
}

// values are the counts of the selected values in rows.
func (w *world) values(rows map[string][]row) map[string]int64 {
	values := map[string]int64{}
	for _, list := range rows {
		for _, r := range list {
			values[string(w.l.value(nil, r.cells(), w.l.selected))]++
		}
	}
	return values
}

// difference is what must be added to one multiset to get another.
func difference(from, to map[string]int64) map[string]int64 {
	d := maps.Clone(to)
	for v, n := range from {
		if d[v] -= n; d[v] == 0 {
			delete(d, v)
		}
	}
	return d
}

func content(c *valueset.Counts) map[string]int64 {
	values := map[string]int64{}
	c.All(func(v []byte, n int64) bool { values[string(v)] = n; return true })
	return values
}

// feed gives a replica the log from an entry on and checks every verdict.
func (w *world) feed(r *replica, from int, before map[string]int64) {
	base := r.done
	for i, e := range w.entries[from:] {
		m, err := r.Entry(&e.Entry, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if e.rows == nil {
			if m != nil {
				w.t.Fatalf("entry %d without a marker gives verdict %+v", i, m.verdict)
			}
			continue
		}
		at := change.Offset{LSN: e.LSN, Op: e.End}
		if !base.Before(at) && !at.IsZero() {
			if m != nil {
				w.t.Fatalf("marker %s, which is in the base at %s, gives a verdict", at, base)
			}
			continue
		}
		if m == nil || m.verdict.Offset != at || m.verdict.XID != e.XID || m.verdict.Unit != (e.Kind == wire.EntryUnit) {
			w.t.Fatalf("marker %s gives %+v", at, m)
		}
		after := w.values(e.rows)
		got := map[string]int64{}
		for key, n := range m.verdict.Deltas.All() {
			if got[string(key)] = n; n == 0 {
				w.t.Fatalf("marker %s gives a delta of nothing", m.verdict.Offset)
			}
		}
		if want := difference(before, after); !maps.Equal(got, want) || len(got) != m.verdict.Deltas.Len() {
			w.t.Fatalf("marker %s gives %v, want %v", m.verdict.Offset, got, want)
		}
		if values := content(&r.values); !maps.Equal(values, after) {
			w.t.Fatalf("at %s the set is %v, want %v", m.verdict.Offset, values, after)
		}
		if r.undo.Len() != 0 || r.deltas.Len() != 0 || m.inconsistent != 0 {
			w.t.Fatalf("at %s %d notes and %d deltas are left, %d ops did not fit", m.verdict.Offset, r.undo.Len(), r.deltas.Len(), m.inconsistent)
		}
		before = after
	}
}

func clone(t *valueset.Table) (c valueset.Table) {
	t.All(func(k, v []byte) bool { c.Set(k, v); return true })
	return c
}

// The verdict at each marker is the difference between the set before and after
// it, whatever the log: with keys or without, in units or not, aborted or not; also when
// it is read on from a base in the middle.
func TestVerdictsAreTheDifferencesOfTheSet(t *testing.T) {
	layouts := map[string]*layout{
		"the key":                   mustLayout(t, []int{0}, false, "a"),
		"another column":            mustLayout(t, []int{1}, false, "a"),
		"the key and another":       mustLayout(t, []int{2, 0}, false, "a"),
		"no primary key":            mustLayout(t, []int{1}, false),
		"no primary key, all of it": mustLayout(t, []int{2, 1, 0}, false),
		"units, the key":            mustLayout(t, []int{0}, true, "a"),
		"units, another column":     mustLayout(t, []int{1}, true, "a"),
	}
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := &world{t: t, l: l, unique: len(l.key) == 1, rows: map[string][]row{}}
				var snapshot []row
				for range rapid.IntRange(0, 20).Draw(t, "snapshot") {
					r := w.draw()
					if w.unique && len(w.rows[w.key(r)]) > 0 {
						continue
					}
					w.rows[w.key(r)] = append(w.rows[w.key(r)], r)
					snapshot = append(snapshot, r)
				}
				first := w.values(w.rows)
				for range rapid.IntRange(1, 8).Draw(t, "transactions") {
					w.transaction()
				}
				r := newReplica(l)
				segment := &wire.Entry{Kind: wire.EntrySegment}
				if _, err := r.Entry(segment, func(_ *wire.Entry, load func(change.Row) error) error {
					for _, row := range snapshot {
						if err := load(row.cells()); err != nil {
							return err
						}
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				// Up to some marker, from which another goes on: all it gets is what a base holds.
				stop := rapid.IntRange(0, len(w.entries)).Draw(t, "base")
				for stop > 0 && w.entries[stop-1].rows == nil {
					stop--
				}
				all := w.entries
				w.entries = all[:stop]
				w.feed(r, 0, first)
				second := newReplica(l)
				second.began, second.done = true, r.done
				r.values.All(func(v []byte, n int64) bool { second.values.Add(v, n); return true })
				second.rows = clone(&r.rows)
				if _, err := second.Entry(segment, nil); err != nil {
					t.Fatal(err)
				}
				before := content(&second.values)
				w.entries = all
				// A base's marker is found with the message around it, so what is in the base comes again.
				w.feed(second, rapid.IntRange(0, stop).Draw(t, "from"), before)
			})
		})
	}
}

func TestWhatALogCannotSayIsRefused(t *testing.T) {
	rows := func(n int) change.Row { return make(change.Row, n) }
	ops := func(kind change.Kind, cells change.Row) *wire.Entry {
		return &wire.Entry{Kind: wire.EntryOps, LSN: 5, Ops: []wire.LogOp{{Kind: kind, Row: cells}}}
	}
	for name, e := range map[string]*wire.Entry{
		"a row with too few columns":     ops(change.Insert, rows(2)),
		"a key with too many columns":    ops(change.Delete, rows(2)),
		"an op of an unknown kind":       ops(change.Kind(9), rows(3)),
		"an upsert outside of units":     ops(change.Upsert, rows(3)),
		"an entry of an unknown kind":    {Kind: 77},
		"a segment behind the beginning": {Kind: wire.EntrySegment},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReplica(mustLayout(t, []int{0}, false, "a"))
			r.began, r.seq = true, 1
			if _, err := r.Entry(e, nil); err == nil {
				t.Error("it was taken")
			}
		})
	}
	t.Run("ops before the snapshot", func(t *testing.T) {
		if _, err := newReplica(mustLayout(t, []int{0}, false, "a")).Entry(ops(change.Insert, rows(3)), nil); err == nil {
			t.Error("it was taken")
		}
	})
	t.Run("a segment that cannot be read", func(t *testing.T) {
		broken := errors.New("broken")
		_, err := newReplica(mustLayout(t, []int{0}, false, "a")).Entry(&wire.Entry{Kind: wire.EntrySegment}, func(*wire.Entry, func(change.Row) error) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
}

// Rows that change to and fro leave no notes.
func TestNotesAreOfWhatDiffersInTheEnd(t *testing.T) {
	r := newReplica(mustLayout(t, []int{1}, true, "a"))
	r.began = true
	if err := r.Load(row{"1", "x", ""}.cells()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 1, 0, 1, 0} {
		kind, b := change.Upsert, []string{"y", "z", "x", "", "x"}[i]
		cells := row{"1", b, ""}.cells()
		if b == "" {
			kind, cells = change.Discard, change.Row{[]byte("1")}
		}
		if err := r.Apply(kind, cells); err != nil {
			t.Fatal(err)
		}
		if r.undo.Len() != want {
			t.Errorf("after change %d there are %d notes, want %d", i, r.undo.Len(), want)
		}
	}
}

// The memory of an open transaction is what it changes in the end.
func TestAnOpenTransactionIsAsLargeAsWhatItChanges(t *testing.T) {
	for _, unit := range []bool{false, true} {
		r := newReplica(mustLayout(t, []int{1}, unit, "a"))
		r.began = true
		e := &wire.Entry{Kind: wire.EntryOps, LSN: 7, Ops: make([]wire.LogOp, 2)}
		for i := range 100_000 {
			key, value := []byte(strconv.Itoa(i)), []byte(fmt.Sprint("value ", i))
			e.Ops[0] = wire.LogOp{Index: uint64(4*i + 1), Kind: change.Insert, Row: change.Row{key, value, nil}}
			e.Ops[1] = wire.LogOp{Index: uint64(4*i + 2), Kind: change.Delete, Row: change.Row{key}}
			if _, err := r.Entry(e, nil); err != nil {
				t.Fatal(err)
			}
			if n := r.deltas.Len() + r.undo.Len() + r.rows.Len() + r.values.Len(); n != 0 {
				t.Fatalf("after %d rows came and went, %d are kept", i+1, n)
			}
		}
	}
}

func TestABaseIsDueWhenItSavesReading(t *testing.T) {
	for _, c := range []struct {
		verdicts, base, least int64
		due                   bool
	}{
		{0, 0, 100, false}, {100, 0, 100, false}, {101, 0, 100, true}, {101, 5000, 100, false}, {5001, 5000, 100, true},
	} {
		if got := baseDue(c.verdicts, c.base, c.least); got != c.due {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

func TestValuesAreEqualAsPostgresSaysTheyAre(t *testing.T) {
	rec := record("a")
	rec.Table.Relation.Columns[2].Type = 1700 // numeric
	l, err := newLayout(rec, []int{1}, false)
	if err != nil {
		t.Fatal(err)
	}
	one, two := l.value(nil, row{"1", "1.50", ""}.cells(), l.selected), l.value(nil, row{"2", "1.5", ""}.cells(), l.selected)
	if !bytes.Equal(one, two) {
		t.Errorf("%q and %q", one, two)
	}
}
