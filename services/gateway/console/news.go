package console

import (
	"slices"
	"sync"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
)

// Bounds of what a page is told of transactions.
const (
	maxChanges = 100 // of one transaction
	maxNews    = 40  // transactions at once
)

// ChangeNews is a change as pages show it.
type ChangeNews struct {
	Kind   string  `json:"kind"`
	Key    string  `json:"key"`
	XID    uint64  `json:"xid,omitempty"`
	Values []Value `json:"values"`
}

// Transaction is a transaction of a shape as pages show it, or a unit of several.
type Transaction struct {
	Seq      int            `json:"seq"`
	LSN      string         `json:"lsn"`
	XID      uint64         `json:"xid,omitempty"`
	Time     time.Time      `json:"time,omitzero"`
	Offset   string         `json:"offset"`
	Unit     bool           `json:"unit,omitempty"`
	Snapshot bool           `json:"snapshot,omitempty"`
	Count    int            `json:"count"`
	Kinds    map[string]int `json:"kinds"`
	XIDs     int            `json:"xids,omitempty"` // transactions in a unit
	Changes  []ChangeNews   `json:"changes"`        // the first ones
}

// Phase is what a page that follows a shape is told of how that goes.
type Phase struct {
	Is   string `json:"is"` // reading, live, changes, stalled or ended
	Text string `json:"text,omitempty"`
}

// Feed is what a page is told at once.
type Feed struct {
	Phase   *Phase        `json:"phase,omitempty"`
	Rows    *RowNews      `json:"rows,omitempty"`
	News    []Transaction `json:"news,omitempty"` // in the order of their commits
	Skipped int           `json:"skipped,omitempty"`
}

// feed gathers what comes of a shape until its page takes it: the newest transactions, and what
// they made of the rows. A page that is slow misses transactions, and no row. Safe for concurrent
// use.
type feed struct {
	news chan struct{} // something came

	mu      sync.Mutex
	rows    *rows // nil while rows are not shown
	open    *Transaction
	xids    map[uint64]bool
	done    []Transaction
	skipped int
	seq     int
	phase   *Phase
}

func newFeed() *feed { return &feed{news: make(chan struct{}, 1)} }

// begin begins the rows again: with, whether they are shown.
func (f *feed) begin(with bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open, f.rows = nil, nil
	if with {
		f.rows = newRows()
	}
}

// is tells the page how it goes.
func (f *feed) is(phase, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.phase = &Phase{Is: phase, Text: text}
	f.tell()
}

func (f *feed) tell() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// note takes an event in; errManyRows says that the rows cannot be shown.
func (f *feed) note(e client.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := e.(type) {
	case client.Begin:
		f.open, f.xids = &Transaction{
			LSN: e.LSN.String(), XID: uint64(e.XID), Time: e.Time, Unit: e.Unit, Snapshot: e.Snapshot, Kinds: map[string]int{}, Changes: []ChangeNews{},
		}, map[uint64]bool{}
		if f.rows != nil {
			f.rows.abort()
		}
	case client.Change:
		return f.change(e)
	case client.Abort:
		f.open = nil
		if f.rows != nil {
			f.rows.abort()
		}
	case client.Commit:
		return f.commit(e)
	}
	return nil
}

func (f *feed) change(c client.Change) error {
	t := f.open
	if t == nil {
		return nil
	}
	kind := c.Kind.String()
	t.Count++
	t.Kinds[kind]++
	if len(t.Changes) < maxChanges && !t.Snapshot {
		n := ChangeNews{Kind: kind, XID: uint64(c.XID)}
		if c.Kind != client.Truncate {
			n.Key, n.Values = keyOf(c.Row), valuesOf(c.Row)
		}
		t.Changes = append(t.Changes, n)
	}
	if len(f.xids) < maxStage && c.XID != 0 {
		f.xids[uint64(c.XID)] = true
	}
	if f.rows == nil {
		return nil
	}
	return f.rows.apply(c)
}

func (f *feed) commit(c client.Commit) error {
	t := f.open
	if t == nil {
		return nil
	}
	f.open = nil
	f.seq++
	t.Seq, t.LSN, t.Offset = f.seq, c.LSN.String(), c.Offset.String()
	if !c.Time.IsZero() {
		t.Time = c.Time
	}
	if t.Unit {
		t.XIDs = len(f.xids)
	}
	f.done = append(f.done, *t)
	if n := len(f.done); n > maxNews {
		f.done = slices.Delete(f.done, 0, n-maxNews)
		f.skipped += n - maxNews
	}
	f.tell()
	if f.rows == nil {
		return nil
	}
	return f.rows.commit()
}

// take returns what came since it was called last; false for nothing.
func (f *feed) take() (out Feed, some bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out = Feed{Phase: f.phase, News: f.done, Skipped: f.skipped}
	f.phase, f.done, f.skipped = nil, nil, 0
	if f.rows != nil {
		out.Rows = f.rows.take()
	}
	return out, out.Phase != nil || out.Rows != nil || len(out.News) > 0
}
