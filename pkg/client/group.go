package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/shapebus/shapebus/pkg/client/internal/logread"
)

// Group holds the rows of several shapes of a source in memory, as views do, and shows all of them
// as they were at one moment: a look never sees the child of a transaction without its
// parent. Safe for concurrent use.
//
// It shows every moment that it can, in order, and stays behind where it must wait: a shape that
// had no transaction of its own has passed a moment when the control plane says so, which
// takes up to a second while there is traffic. Of each shape it reads one transaction ahead
// at most, so its memory is that of the rows plus those transactions; where shapes
// with subqueries are never exact at the same moment, those it has read in between, by their keys.
//
// Shapes whose subqueries have subqueries themselves are exact only while the innermost tables are at rest, and so is the group.
//
// When a shape ends, it is made again, and the last moment is shown until all rows of the new incarnation
// are there. A group lives until Close is called, or something ends it that trying again does not mend.
type Group struct {
	client *Client
	opts   Options
	cancel context.CancelCauseFunc
	done   chan struct{}
	need   chan struct{} // holds a token when there may be something to ask

	mu      sync.Mutex // guards what follows; held while a moment's transactions are committed
	members []*member
	waits   []LSN // what those who wait now want
	at      LSN   // the moment shown
	floor   LSN   // no moment before it is shown
	settled bool
	ready   bool
	asks    []int
	err     error
	changed chan struct{} // closed at the next change
}

// member is a shape of a group. Its fields are guarded by the group's mu.
type member struct {
	group *Group
	index int
	def   Definition

	shape   *Shape
	lane    lane
	offset  Offset // of the lane's state
	first   LSN    // the shape's snapshot is exact behind what committed before it
	goal    *goal
	staged  *table // what was read and is not shown is in its transaction; nil if nothing is
	shown   shown
	ended   bool // the incarnation shown is over
	stalled error
	proceed chan struct{} // holds a token when the next transaction is to be read
}

// Moment is what all shapes of a group were at one moment.
type Moment struct {
	// LSN is that moment: the shapes hold every transaction that committed up to it, and none that
	// committed behind it. It rises from one moment to the next, unless a shape was made again in between.
	LSN LSN
	// Shapes are in the order in which their definitions were given.
	Shapes []Snapshot
	// Stalled is what keeps the group from being up to date, nil if nothing is known to.
	Stalled error
}

// WatchGroup creates the shapes, or finds them, and returns a group of them at once. ctx bounds
// the requests only; the group lives until Close.
func (c *Client) WatchGroup(ctx context.Context, opts Options, defs ...Definition) (*Group, error) {
	if len(defs) == 0 {
		return nil, errors.New("watch a group: no definitions")
	}
	g := &Group{client: c, opts: opts.withDefaults(), done: make(chan struct{}), need: make(chan struct{}, 1), changed: make(chan struct{})}
	for i, def := range defs {
		s, err := c.Create(ctx, def)
		if err != nil {
			return nil, fmt.Errorf("watch a group: %w", err)
		}
		g.members = append(g.members, &member{group: g, index: i, def: def, shape: s, proceed: make(chan struct{}, 1)})
	}
	running, cancel := context.WithCancelCause(context.Background())
	g.cancel = cancel
	go g.run(running) //nolint:contextcheck // the group outlives the request
	return g, nil
}

// run reads all shapes until one of them ends the group.
func (g *Group) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, m := range g.members {
		all.Go(func() { g.end(m.run(ctx)) })
	}
	all.Go(func() { g.learn(ctx) })
	all.Wait()
	close(g.done)
}

func (g *Group) end(err error) {
	g.mu.Lock()
	if g.err == nil {
		g.err = err
	}
	g.signalLocked()
	g.mu.Unlock()
	g.cancel(err)
}

// Close ends the group and waits until it has.
func (g *Group) Close() {
	g.cancel(ErrClosed)
	<-g.done
}

// Done is closed when the group has ended; Err says why.
func (g *Group) Done() <-chan struct{} { return g.done }

// Err is nil while the group lives, then what ended it, as View.Err has it.
func (g *Group) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// Changed returns a channel that is closed when the group next shows another moment, stalls or ends.
// Who gets it before a look misses nothing.
func (g *Group) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

func (g *Group) signalLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// Stalled is what keeps the group from being up to date, as View.Stalled has it.
func (g *Group) Stalled() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stalledLocked()
}

func (g *Group) stalledLocked() error {
	for _, m := range g.members {
		if m.stalled != nil {
			return m.stalled
		}
	}
	return nil
}

// Snapshot returns the rows of all shapes at one moment, ErrNotReady before the first one, or Err
// after the group's end. It copies a few words for each row; the values are shared with the group.
func (g *Group) Snapshot() (Moment, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.lookLocked(); err != nil {
		return Moment{}, err
	}
	m := Moment{LSN: g.at, Stalled: g.stalledLocked()}
	for _, e := range g.members {
		s := e.shown
		m.Shapes = append(m.Shapes, Snapshot{
			Position: Position{Handle: s.handle, Offset: s.offset}, LSN: s.lsn, Rows: s.table.all(), Ended: e.ended, Stalled: e.stalled,
			layout: s.table.layout, passed: s.passed,
		})
	}
	return m, nil
}

func (g *Group) lookLocked() error {
	switch {
	case g.err != nil:
		return g.err
	case !g.ready:
		return ErrNotReady
	}
	return nil
}

// WaitReady waits until the group has a moment to show. It returns nil, what ended the group, or
// the cause of ctx's end.
func (g *Group) WaitReady(ctx context.Context) error {
	return g.until(ctx, func() bool { return g.ready })
}

// Wait waits until the group shows a moment at or behind lsn, such as pg_current_wal_lsn() behind a
// transaction that the app has written itself. It returns nil, what ended the group, or the cause of
// ctx's end. On an idle database the change log may stay short of the current WAL position.
func (g *Group) Wait(ctx context.Context, lsn LSN) error {
	g.mu.Lock()
	g.waits = append(g.waits, lsn)
	g.turnLocked()
	g.mu.Unlock()
	defer g.waited(lsn)
	return g.until(ctx, func() bool { return g.ready && g.at >= lsn })
}

// waited takes note that somebody does not wait for an LSN any more. Until then nobody is shown a moment before it, which may
// never come: the wait was given up, or the database has begun another history.
func (g *Group) waited(lsn LSN) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waits, lsn)
	g.waits = slices.Delete(g.waits, i, i+1)
	if g.err == nil {
		g.turnLocked()
	}
}

// wantedLocked is the latest moment that somebody waits for.
func (g *Group) wantedLocked() (lsn LSN) {
	for _, w := range g.waits {
		lsn = max(lsn, w)
	}
	return lsn
}

// until waits for what is true under mu.
func (g *Group) until(ctx context.Context, is func() bool) error {
	for {
		g.mu.Lock()
		changed, err, done := g.changed, g.err, is()
		g.mu.Unlock()
		if err != nil || done {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// turnLocked does what can be done now.
func (g *Group) turnLocked() {
	for {
		lanes := make([]lane, len(g.members))
		for i, m := range g.members {
			lanes[i] = m.lane
		}
		p := plan(lanes, g.wantedLocked(), g.floor, g.settled && g.ready)
		if g.asks = p.ask; len(p.ask) > 0 {
			select {
			case g.need <- struct{}{}:
			default: // a token is there already
			}
		}
		for _, i := range p.advance {
			m := g.members[i]
			m.lane.pending, m.lane.moving, g.settled = false, true, false
			m.proceed <- struct{}{}
		}
		if !p.show {
			return
		}
		for _, m := range g.members {
			m.showLocked()
		}
		g.at, g.floor, g.settled, g.ready = p.at, p.at, true, true
		g.signalLocked()
	}
}

// learn asks how far the logs have come, of shapes that others wait for.
func (g *Group) learn(ctx context.Context) {
	pause := logread.NewBackoff(10*time.Millisecond, 250*time.Millisecond)
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.need:
		}
		g.mu.Lock()
		asks, changed, at := g.asks, g.changed, g.at
		shapes := make([]*Shape, 0, len(asks))
		for _, i := range asks {
			shapes = append(shapes, g.members[i].shape)
		}
		g.mu.Unlock()
		if len(asks) == 0 {
			pause.Reset()
			continue
		}
		for n, i := range asks {
			goal, _ := shapes[n].reached(ctx) // what keeps it from being learned, the readers meet and tell
			g.mu.Lock()
			g.members[i].reachLocked(goal)
			g.mu.Unlock()
		}
		g.mu.Lock()
		g.turnLocked()
		moved := g.at != at
		g.mu.Unlock()
		if moved {
			pause.Reset()
			continue
		}
		if pause.Wait(ctx, changed) != nil {
			return
		}
		g.mu.Lock()
		g.turnLocked() // asks again if that is still needed
		g.mu.Unlock()
	}
}
