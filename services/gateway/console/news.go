package console

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
)

// Bounds of what a page is told of transactions.
const (
	maxChanges = 100      // of one transaction
	maxNews    = 40       // transactions at once
	maxDetails = 1 << 20  // bytes of the changes of these
	maxPages   = 64 << 20 // bytes that all pages together have gathered
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

	size int // of these, in bytes
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
	room *room

	mu      sync.Mutex
	rows    *rows // nil while rows are not shown
	open    *Transaction
	xids    map[uint64]bool
	done    []Transaction
	skipped int
	details int // bytes of the changes of open and done
	kept    int // bytes that are counted in the room
	seq     int
	phase   *Phase
}

// room bounds what feeds keep together.
type room struct {
	limit int64
	kept  atomic.Int64
}

// grow counts so many bytes more, or fewer; false if there is no room for them.
func (r *room) grow(n int) bool {
	if now := r.kept.Add(int64(n)); n > 0 && now > r.limit {
		r.kept.Add(-int64(n))
		return false
	}
	return true
}

// errNoRoom says that all pages together show as much as they may.
var errNoRoom = errors.New("other pages show so many rows that there is no room for these")

// newFeed returns a feed that must be closed.
func newFeed(r *room) *feed { return &feed{news: make(chan struct{}, 1), room: r} }

// close gives back the feed's room. Nothing may be noted behind it.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows, f.open, f.done, f.details = nil, nil, nil, 0
	f.weigh()
}

// weigh counts what is kept in the room; false if there is none for what has come.
func (f *feed) weigh() bool {
	now := f.details
	if f.rows != nil {
		now += f.rows.bytes + f.rows.size
	}
	if !f.room.grow(now - f.kept) {
		return false
	}
	f.kept = now
	return true
}

// begin begins the rows again: with, whether they are shown.
func (f *feed) begin(with bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
	if f.rows = nil; with {
		f.rows = newRows()
	}
	f.weigh()
}

// drop forgets the transaction that is open.
func (f *feed) drop() {
	if f.open != nil {
		f.details -= f.open.size
	}
	f.open = nil
	if f.rows != nil {
		f.rows.abort()
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

// note takes an event in; errManyRows and errNoRoom say that the rows cannot be shown.
func (f *feed) note(e client.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.noteLocked(e); err != nil {
		return err
	}
	if !f.weigh() {
		return errNoRoom
	}
	return nil
}

func (f *feed) noteLocked(e client.Event) error {
	switch e := e.(type) {
	case client.Begin:
		f.drop()
		f.open, f.xids = &Transaction{
			LSN: e.LSN.String(), XID: uint64(e.XID), Time: e.Time, Unit: e.Unit, Snapshot: e.Snapshot, Kinds: map[string]int{}, Changes: []ChangeNews{},
		}, map[uint64]bool{}
	case client.Change:
		return f.change(e)
	case client.Abort:
		f.drop()
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
		f.detail(c, kind)
	}
	if len(f.xids) < maxStage && c.XID != 0 {
		f.xids[uint64(c.XID)] = true
	}
	if f.rows == nil {
		return nil
	}
	return f.rows.apply(c)
}

// detail adds a change to those of its transaction that are told, if there is room for it. Older transactions give theirs up.
func (f *feed) detail(c client.Change, kind string) {
	n := ChangeNews{Kind: kind, XID: uint64(c.XID)}
	if c.Kind != client.Truncate {
		n.Key, n.Values = keyOf(c.Row), valuesOf(c.Row)
	}
	size := sizeOf(n.Key, n.Values)
	for i := range f.done {
		if f.details+size <= maxDetails {
			break
		}
		f.details -= f.done[i].size
		f.done[i].size, f.done[i].Changes = 0, []ChangeNews{}
	}
	if f.details+size > maxDetails {
		return
	}
	if f.details += size; !f.weigh() {
		f.details -= size
		return
	}
	f.open.size += size
	f.open.Changes = append(f.open.Changes, n)
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
		for _, over := range f.done[:n-maxNews] {
			f.details -= over.size
		}
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
	f.phase, f.done, f.skipped, f.details = nil, nil, 0, 0
	if f.open != nil {
		f.details = f.open.size
	}
	if f.rows != nil {
		out.Rows = f.rows.take()
	}
	f.weigh()
	return out, out.Phase != nil || out.Rows != nil || len(out.News) > 0
}
