package client

import (
	"context"
	"errors"
	"sync"

	"github.com/shapebus/shapebus/pkg/client/event"
)

// What views and groups answer, to test for with errors.Is.
var (
	// ErrNotReady says that a view has not read its first snapshot yet.
	ErrNotReady = errors.New("the view has not read its snapshot yet")
	// ErrNoRow says that a view has no row with that key.
	ErrNoRow = errors.New("no such row")
	// ErrClosed says that a view was closed.
	ErrClosed = errors.New("the view is closed")
)

// View holds a shape's rows in memory and keeps them up to date. What it
// shows is always what the shape was at one commit, never between two.
// Its memory is that of the rows, plus those of one transaction while it is
// being read. Safe for concurrent use.
//
// A view of Client.Watch makes the shape again when it ends and shows the last
// rows of the old incarnation until it has all rows of the new one; a view of
// Shape.View ends with its shape.
//
// A view lives until Close is called, or something ends it that trying again does not mend.
type View struct {
	client *Client
	opts   Options
	from   *Snapshot // to begin with; nil: the shape's own
	def    Definition
	again  bool // make the shape again when it ends
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu      sync.Mutex // guards what follows; held for a transaction's commit
	shape   *Shape     // being read
	shown   shown
	ended   bool  // the incarnation shown is over; the next one is being read
	stalled error // what keeps it from being up to date
	err     error
	changed chan struct{} // closed at the next change
}

// shown is what readers of a view see.
type shown struct {
	handle string
	table  *table // nil before the first snapshot
	offset Offset
	lsn    LSN
	passed LSN // every transaction up to it is in the table; 0 if that is not known
}

// ViewOptions tune a view. The zero value is useful.
type ViewOptions struct {
	Options

	// From is a Snapshot of an earlier view of the shape, perhaps one that was kept in a file with
	// Snapshot.WriteTo. The view shows it at once and goes on behind its position. When the shape has another
	// incarnation, a view of Client.Watch shows it until it has that incarnation's rows, and a
	// view of Shape.View ends with a MustRefetchError. Nil reads all rows of the shape.
	From *Snapshot
}

// Snapshot is a shape at one commit.
type Snapshot struct {
	Position Position // of the commit; where Subscribe can go on
	LSN      LSN
	Rows     []Row // in no order; the caller must not write to their bytes
	// Ended says that the shape's incarnation under that handle is over and that the view
	// is reading its next one.
	Ended bool
	// Stalled is what keeps the view from being up to date, nil if nothing does; see
	// View.Stalled.
	Stalled error

	layout *event.Layout
	passed LSN
}

// Watch creates the shape, or finds it, and returns a view of it at once. ctx bounds the request
// only; the view lives until Close.
func (c *Client) Watch(ctx context.Context, def Definition, opts ViewOptions) (*View, error) {
	s, err := c.Create(ctx, def)
	if err != nil {
		return nil, err
	}
	return newView(s, def, true, opts), nil //nolint:contextcheck // the view outlives the request
}

// View returns a view of this incarnation of the shape. It does no I/O itself.
func (s *Shape) View(opts ViewOptions) *View {
	return newView(s, Definition{}, false, opts)
}

func newView(s *Shape, def Definition, again bool, opts ViewOptions) *View {
	ctx, cancel := context.WithCancelCause(context.Background())
	v := &View{
		client: s.client, shape: s, def: def, again: again, opts: opts.withDefaults(), from: opts.From,
		cancel: cancel, done: make(chan struct{}), changed: make(chan struct{}),
	}
	if v.from != nil {
		v.ended = v.from.Position.Handle != s.info.Handle
		if !v.ended || again {
			v.shown = v.from.shown(s.info.HasKey)
		}
	}
	go v.run(ctx)
	return v
}

// Close ends the view and waits until it has.
func (v *View) Close() {
	v.cancel(ErrClosed)
	<-v.done
}

// Done is closed when the view has ended; Err says why.
func (v *View) Done() <-chan struct{} { return v.done }

// Err is nil while the view lives, then what ended it: ErrClosed, a
// *MustRefetchError (views of Shape.View), a *PermanentError, the refusal
// to make the shape again, or what else Subscription.Events ends with.
func (v *View) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// Stalled is what keeps the view from being up to date, such as a connection that is
// lost, a consumer that does not run, or the end of the incarnation that it shows: it fails
// and is tried again. It is nil when nothing is known to. Changed tells when that changes.
func (v *View) Stalled() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.stalled
}

// stall notes what keeps the view from being up to date, nil when that is over.
func (v *View) stall(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stalled = err
	v.signalLocked()
}

// Changed returns a channel that is closed when the view next changes or
// ends. Who gets it before looking at the rows misses nothing.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// Shape is the incarnation of the shape that the view is reading.
func (v *View) Shape() *Shape {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.shape
}

// Snapshot returns the rows, ErrNotReady before the first ones are there, or
// Err after the view's end. It copies a few words for each row; the values are
// shared with the view.
func (v *View) Snapshot() (Snapshot, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil:
		return Snapshot{}, v.err
	case v.shown.table == nil:
		return Snapshot{}, ErrNotReady
	}
	s := v.shown
	return Snapshot{
		Position: Position{Handle: s.handle, Offset: s.offset}, LSN: s.lsn, Rows: s.table.all(), Ended: v.ended, Stalled: v.stalled,
		layout: s.table.layout, passed: s.passed,
	}, nil
}

// Len is the number of rows that the view holds, 0 before the first snapshot.
func (v *View) Len() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.shown.table == nil {
		return 0
	}
	return v.shown.table.length
}

// Get returns the row with these values in the shape's key columns, in their
// order; without a primary key those are all columns. A value is a string in Postgres' text
// output form, an integer, a bool, or nil for NULL.
//
// Its error is ErrNoRow when there is no such row, ErrNotReady before the first snapshot, Err
// after the view's end, or says what is wrong with the key.
func (v *View) Get(key ...any) (Row, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.err != nil:
		return Row{}, v.err
	case v.shown.table == nil:
		return Row{}, ErrNotReady
	}
	return v.shown.table.get(key)
}

// show makes a transaction's rows visible.
func (v *View) show(s *Shape, t *table, c Commit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t.commit()
	passed := c.Passed
	if v.shown.handle == s.info.Handle {
		passed = max(passed, v.shown.passed)
	}
	v.shown = shown{handle: s.info.Handle, table: t, offset: c.Offset, lsn: c.LSN, passed: passed}
	v.ended = false
	v.signalLocked()
}

func (v *View) signalLocked() {
	close(v.changed)
	v.changed = make(chan struct{})
}
