package demo

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// replica is an app's copy of a shape, made from the events of its subscription and nothing else, and a judge of these events.
// Of each row it keeps a digest, for a million rows would fill the screen's neighbour with memory. Safe for concurrent use.
type replica struct {
	seed maphash.Seed

	mu        sync.Mutex // guards what follows
	rows      map[int64]uint64
	seen      map[change.XID]seen
	last      change.Offset // of the last change or commit
	now       replicaFigures
	open      bool // between Begin and Commit
	order     []string
	broken    []string // transactions that are not what they must be
	units     *toggles // told of units; nil for a copy of a shape without a subquery, which has none
	unit      unit     // the open one
	inUnit    bool
	undo      []undo // of the open transaction, if there may be units: then it may be taken back
	lose      bool   // overlook the next change that is not of the snapshot
	described time.Time
}

// undo is what a row was before a change.
type undo struct {
	id     int64
	have   bool
	digest uint64
}

// seen is a transaction as it came.
type seen struct {
	changes uint64
	at      time.Time // when its commit came
}

// replicaFigures are what there is to show of a copy.
type replicaFigures struct {
	snapshot     bool // the initial rows are there
	rows         int
	transactions int
	changes      uint64 // of committed transactions
	arriving     uint64 // of the one that is being handed out
	committed    change.Offset
	latest       string
}

func newReplica() *replica {
	return &replica{seed: maphash.MakeSeed(), rows: map[int64]uint64{}, seen: map[change.XID]seen{}}
}

func (c *replica) figures() replicaFigures {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// saw returns how a transaction came, if it did.
func (c *replica) saw(xid change.XID) (seen, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.seen[xid]
	return s, ok
}

// take applies an event.
func (c *replica) take(event client.Event, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := event.(type) {
	case client.Begin:
		c.check(&c.broken, !c.open, "transaction %d begins inside another", e.XID)
		c.check(&c.broken, !e.Unit || c.units != nil, "a unit, and no subquery")
		c.open, c.inUnit, c.now.arriving, c.unit = true, e.Unit, 0, unit{}
	case client.Change:
		c.check(&c.broken, c.open, "a change at %s outside of a transaction", e.Offset)
		c.change(e, now)
	case client.Commit:
		c.commit(e, now)
	case client.Abort:
		c.abort(e)
	case client.CaughtUp:
	}
}

// abort takes back what came since the last Begin.
func (c *replica) abort(e client.Abort) {
	c.check(&c.broken, c.open && c.units != nil, "a transaction is taken back at %s", e.Offset)
	c.check(&c.broken, e.Offset == c.now.committed, "a unit is taken back to %s, the last commit was %s", e.Offset, c.now.committed)
	for _, u := range slices.Backward(c.undo) {
		if u.have {
			c.rows[u.id] = u.digest
		} else {
			delete(c.rows, u.id)
		}
	}
	c.undo = c.undo[:0]
	c.open, c.now.arriving, c.last = false, 0, e.Offset
}

func (c *replica) change(e client.Change, now time.Time) {
	if !e.Offset.IsZero() {
		c.advance(e.Offset)
		if c.lose {
			c.lose = false
			return
		}
	}
	c.now.arriving++
	if now.Sub(c.described) > describeEvery || c.now.arriving == 1 {
		c.described, c.now.latest = now, latestText(e)
	}
	id, err := rowID(e.Row)
	was, have := c.rows[id]
	switch {
	case c.units == nil || e.Offset.IsZero():
	case e.Kind == change.Truncate:
		for id, was := range c.rows {
			c.undo = append(c.undo, undo{id, true, was})
		}
	default:
		c.undo = append(c.undo, undo{id, have, was})
	}
	switch e.Kind {
	case change.Upsert:
		c.check(&c.broken, err == nil && c.inUnit, "upsert of row %d outside of a unit", id)
		if !have {
			c.unit.came++
		}
		c.rows[id] = c.digest(e.Row)
	case change.Discard:
		c.check(&c.broken, err == nil && c.inUnit, "discard of row %d outside of a unit", id)
		if have {
			c.unit.went++
		}
		delete(c.rows, id)
	case change.Insert:
		c.check(&c.broken, err == nil && !have, "insert of row %d, which is there", id)
		c.rows[id] = c.digest(e.Row)
	case change.Update:
		c.check(&c.broken, err == nil && have, "update of row %d, which is not there", id)
		c.rows[id] = c.digest(e.Row)
	case change.Delete:
		c.check(&c.broken, err == nil && have, "delete of row %d, which is not there", id)
		delete(c.rows, id)
	case change.Truncate:
		clear(c.rows)
	}
}

func (c *replica) commit(e client.Commit, now time.Time) {
	c.check(&c.broken, c.open, "transaction %d commits without having begun", e.XID)
	c.check(&c.broken, e.Changes == c.now.arriving, "transaction %d had %d changes, %d came", e.XID, e.Changes, c.now.arriving)
	switch {
	case e.Snapshot:
		c.now.snapshot = true
	case e.Unit:
		c.advance(e.Offset)
		c.now.transactions++
		c.now.changes += c.now.arriving
		c.unit.passed, c.unit.changes, c.unit.at = e.Passed, c.now.arriving, now
		if c.units != nil {
			c.units.unit(c.unit)
		}
	default:
		_, twice := c.seen[e.XID]
		c.check(&c.broken, !twice, "transaction %d came twice", e.XID)
		c.advance(e.Offset)
		c.seen[e.XID] = seen{changes: c.now.arriving, at: now}
		c.now.transactions++
		c.now.changes += c.now.arriving
	}
	c.open, c.now.arriving, c.undo = false, 0, c.undo[:0]
	c.now.rows, c.now.committed = len(c.rows), e.Offset
}

func (c *replica) advance(to change.Offset) {
	c.check(&c.order, c.last.Before(to), "offset %s after %s", to, c.last)
	c.last = to
}

// problemsKept is how many problems of a kind are remembered.
const problemsKept = 3

func (*replica) check(problems *[]string, ok bool, format string, args ...any) {
	if !ok && len(*problems) < problemsKept {
		*problems = append(*problems, fmt.Sprintf(format, args...))
	}
}

// problems are what was wrong with the order of offsets, and with transactions by themselves or by the database's own count,
// if there is one.
func (c *replica) problems(ledger map[uint32]uint64) (order, transactions string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	broken := slices.Clone(c.broken)
	if ledger == nil {
		return strings.Join(c.order, "; "), strings.Join(broken, "; ")
	}
	for _, xid := range slices.Sorted(maps.Keys(ledger)) {
		got, ok := c.seen[change.XID(xid)]
		c.check(&broken, ok, "transaction %d of %s never came", xid, term.Plural(ledger[xid], "change"))
		c.check(&broken, !ok || got.changes == ledger[xid], "transaction %d came with %s, the database wrote %d", xid, term.Plural(got.changes, "change"), ledger[xid])
	}
	for xid, got := range c.seen {
		_, ok := ledger[uint32(xid)]
		c.check(&broken, ok, "transaction %d came with %s, the database wrote none", xid, term.Plural(got.changes, "change"))
	}
	return strings.Join(c.order, "; "), strings.Join(broken, "; ")
}

// compare says how the copy differs from a query's rows, which come one by one from each; "" if it does not.
func (c *replica) compare(each func(row func(values change.Row)) error) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var problems []string
	found, wrong := 0, 0
	err := each(func(values change.Row) {
		id, err := strconv.ParseInt(string(values[0]), 10, 64)
		have, ok := c.rows[id]
		switch {
		case err != nil || !ok:
			wrong++
			c.check(&problems, false, "row %s is missing", values[0])
		case have != c.digestOf(values):
			found++
			wrong++
			c.check(&problems, false, "row %d differs", id)
		default:
			found++
		}
	})
	if extra := len(c.rows) - found; extra > 0 {
		wrong += extra
		c.check(&problems, false, "%s too many", term.Plural(extra, "row"))
	}
	if wrong == 0 || err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %s", term.Plural(wrong, "wrong row"), strings.Join(problems, "; ")), nil
}

// stray puts a row into the copy that nobody wrote.
func (c *replica) stray() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows[-1] = 0
}

func (c *replica) digest(r client.Row) uint64 {
	values := make(change.Row, 0, 8) // enough for the demo's tables, so it stays on the stack
	for i := range r.Len() {
		values = append(values, r.At(i))
	}
	return c.digestOf(values)
}

func (c *replica) digestOf(values change.Row) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	for _, v := range values {
		n := len(v)
		if v == nil {
			n = -1
		}
		maphash.WriteComparable(&h, n)
		_, _ = h.Write(v) // never fails
	}
	return h.Sum64()
}

// rowID is the key of the demo's tables.
func rowID(r client.Row) (int64, error) { return strconv.ParseInt(string(r.Bytes("id")), 10, 64) }

// describeEvery is how often a large transaction's changes are put into words.
const describeEvery = 100 * time.Millisecond

// latestText is a change in a few words.
func latestText(e client.Change) string {
	mark := map[change.Kind]string{change.Insert: "+", change.Update: "~", change.Delete: "-", change.Truncate: "all gone", change.Upsert: "±", change.Discard: "-"}[e.Kind]
	title, _ := e.Row.Text("title")
	body, _ := e.Row.Text("body")
	status, _ := e.Row.Text("status")
	id, _ := e.Row.Text("id")
	text := mark + " " + id
	if words := cmp.Or(title, body); words != "" {
		text += " " + words
	}
	if status != "" {
		text += ", " + status
	}
	return term.Printable(text)
}
