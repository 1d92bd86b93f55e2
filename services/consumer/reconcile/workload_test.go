package reconcile_test

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// write is an op on one of the tables: those of the value sets, whose rows are
// a flag and the value they contribute if the flag is set, and the outer one.
type write struct {
	table    int
	old, new change.Row
	truncate bool
}

// Tables behind those of the sets.
const (
	outer  = sets + iota // the outer table; in a chain what its inner shape selects from
	top                  // in a chain, the table of the outermost shape
	tables               // how many there are
)

// txn is a transaction: when it reached the WAL, and when new snapshots began
// to see it. Its locks are held until then, as Postgres does.
type txn struct {
	writes    []write
	wal, seen int // moments
}

func (x *txn) deltas(set int) *valueset.Counts {
	d := &valueset.Counts{}
	for _, w := range x.writes {
		if w.table == set {
			contribute(w.old, func(v [][]byte) { d.Add([]byte(keyOf(v)), -1) })
			contribute(w.new, func(v [][]byte) { d.Add([]byte(keyOf(v)), 1) })
		}
	}
	return d
}

// verdicts are those on each set.
func (x *txn) verdicts() (all [][]reconcile.Deltas) {
	for i := range sets {
		all = append(all, []reconcile.Deltas{x.deltas(i).All})
	}
	return all
}

// contribute calls f with the value that a row of a set's table has in the set.
func contribute(row change.Row, f func([][]byte)) {
	if row != nil && string(row[1]) == "t" {
		f(row[2:])
	}
}

// world is the tables' rows by key.
type world [tables]map[string]change.Row

func newWorld() *world {
	w := &world{}
	for i := range w {
		w[i] = map[string]change.Row{}
	}
	return w
}

func (w *world) apply(x *txn) {
	for _, op := range x.writes {
		if op.truncate {
			clear(w[op.table])
		}
		if op.old != nil {
			delete(w[op.table], string(op.old[0]))
		}
		if op.new != nil {
			w[op.table][string(op.new[0])] = op.new
		}
	}
}

// values is what a set holds.
func (w *world) values(set int) (values [][][]byte) {
	for _, row := range w[set] {
		contribute(row, func(v [][]byte) { values = append(values, v) })
	}
	return values
}

type generator struct {
	t       *rapid.T
	txns    []*txn
	now     int   // the moment
	pending []int // in the WAL, not yet seen
	locks   [tables]map[string]int
	world   *world
	nulls   bool
	values  int
	tables  []int // that are written, the more often they stand here
}

// workload draws transactions in the order of their commits, on some tables.
func workload(t *rapid.T, tables ...int) []*txn {
	g := &generator{
		t: t, world: newWorld(), tables: tables,
		nulls: rapid.Bool().Draw(t, "nulls"), values: rapid.IntRange(1, 3).Draw(t, "values"),
	}
	for i := range g.locks {
		g.locks[i] = map[string]int{}
	}
	for range rapid.IntRange(3, 14).Draw(t, "transactions") {
		for len(g.pending) > 0 && rapid.Bool().Draw(t, "see") {
			g.see(rapid.IntRange(0, len(g.pending)-1).Draw(t, "which"))
		}
		g.transaction()
	}
	for len(g.pending) > 0 {
		g.see(rapid.IntRange(0, len(g.pending)-1).Draw(t, "which"))
	}
	return g.txns
}

func (g *generator) see(i int) {
	x := g.pending[i]
	g.pending = slices.Delete(g.pending, i, i+1)
	g.txns[x].seen = g.now
	g.now++
	for _, locks := range g.locks {
		for key, owner := range locks {
			if owner == x {
				delete(locks, key)
			}
		}
	}
}

func (g *generator) transaction() {
	x := &txn{wal: g.now}
	g.txns = append(g.txns, x)
	g.pending = append(g.pending, len(g.txns)-1)
	g.now++
	for range rapid.IntRange(1, 4).Draw(g.t, "ops") {
		if w, ok := g.write(); ok {
			x.writes = append(x.writes, w)
			g.world.apply(&txn{writes: []write{w}})
		}
	}
}

// lock takes the lock of a row for the newest transaction.
func (g *generator) lock(table int, key string) bool {
	owner, held := g.locks[table][key]
	if held && owner != len(g.txns)-1 {
		return false
	}
	g.locks[table][key] = len(g.txns) - 1
	return true
}

const setKeys, outerKeys = "abcd", "abcdef"

func (g *generator) key(table int) string {
	keys := setKeys
	if table >= outer {
		keys = outerKeys
	}
	i := rapid.IntRange(0, len(keys)-1).Draw(g.t, "key")
	return keys[i : i+1]
}

func (g *generator) write() (write, bool) {
	table := rapid.SampledFrom(g.tables).Draw(g.t, "table")
	kind := rapid.IntRange(0, 19).Draw(g.t, "kind")
	if kind == 0 {
		return g.truncate(table)
	}
	key := g.key(table)
	if !g.lock(table, key) {
		return write{}, false
	}
	w := write{table: table, old: g.world[table][key]}
	switch {
	case kind < 6:
		return w, w.old != nil
	case kind < 9 && w.old != nil: // a changed key
		if to := g.key(table); g.lock(table, to) && g.world[table][to] == nil {
			w.new = slices.Clone(w.old)
			w.new[0] = []byte(to)
			if rapid.Bool().Draw(g.t, "more") {
				w.new = g.row(table, to)
			}
			return w, true
		}
	}
	w.new = g.row(table, key)
	return w, true
}

func (g *generator) truncate(table int) (write, bool) {
	if table < outer {
		return write{}, false // a set's table has no kind of op but those that change counts
	}
	for _, k := range outerKeys {
		if owner, held := g.locks[table][string(k)]; held && owner != len(g.txns)-1 {
			return write{}, false
		}
	}
	for _, k := range outerKeys {
		g.lock(table, string(k))
	}
	return write{table: table, truncate: true}, true
}

func (g *generator) row(table int, key string) change.Row {
	switch table {
	case outer, top:
		return change.Row{[]byte(key), g.value(), g.value(), g.flag(g.nulls)}
	case pairSet:
		return change.Row{[]byte(key), g.flag(false), g.value(), g.value()}
	}
	return change.Row{[]byte(key), g.flag(false), g.value()}
}

func (g *generator) value() []byte {
	n := rapid.IntRange(0, g.values).Draw(g.t, "value")
	if n == 0 {
		if g.nulls {
			return nil
		}
		return []byte{}
	}
	return []byte{byte('0' + n)}
}

func (g *generator) flag(nullable bool) []byte {
	n := 4
	if nullable {
		n = 5
	}
	switch rapid.IntRange(0, n).Draw(g.t, "flag") {
	case 5:
		return nil
	case 3, 4:
		return []byte("f")
	}
	return []byte("t")
}
