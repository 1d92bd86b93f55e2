package client

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/pkg/client/internal/logread"
)

// run reads one incarnation of the shape after another.
func (m *member) run(ctx context.Context) error {
	pause := logread.NewBackoff(100*time.Millisecond, 5*time.Second)
	opts := &m.group.opts
	for {
		err := m.follow(ctx, pause)
		refetch, over := errors.AsType[*MustRefetchError](err)
		if !over {
			return err
		}
		opts.Log.InfoContext(ctx, "a shape of a group ended, making it again", slog.String("handle", refetch.Handle), slog.String("reason", refetch.Reason))
		m.lost(err)
		s, err := recreate(ctx, m.group.client, m.def, opts, pause, m.stall)
		if err != nil {
			return err
		}
		m.group.mu.Lock()
		m.shape = s
		m.group.mu.Unlock()
	}
}

// follow reads an incarnation of the shape to its end.
func (m *member) follow(ctx context.Context, p *logread.Backoff) error {
	s, g := m.shape, m.group // only this goroutine changes the shape
	t := newTable(s.layout, s.info.HasKey)
	told := m.stalled != nil
	for event, err := range s.Subscribe(Beginning(), g.opts).Events(ctx) {
		if err != nil {
			return err
		}
		if _, stalled := event.(Stalled); !stalled && told {
			told = false
			m.stall(nil)
		}
		switch e := event.(type) {
		case Stalled:
			told = true
			m.stall(e.Err)
		case Begin:
			if err := m.begin(ctx, e); err != nil {
				return err
			}
			t.mark()
		case Abort:
			t.rollback()
		case Change:
			if err := t.apply(e); err != nil {
				return &BrokenLogError{Handle: s.info.Handle, Offset: e.Offset, What: err.Error()}
			}
		case Commit:
			m.commit(t, e)
			p.Reset()
		}
	}
	return nil
}

// begin waits until the transaction is to be read.
func (m *member) begin(ctx context.Context, e Begin) error {
	g := m.group
	g.mu.Lock()
	if !m.lane.ready || m.lane.moving {
		if e.Snapshot {
			m.first = e.LSN
		}
		g.mu.Unlock()
		return nil
	}
	m.lane.pending, m.lane.next = true, e.LSN
	if !e.Unit && e.LSN > m.lane.lo { // a unit may have begun to matter before its first change
		m.lane.upto = max(m.lane.upto, e.LSN-1)
	}
	g.turnLocked()
	g.mu.Unlock()
	select {
	case <-m.proceed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// commit makes what was read the lane's state.
func (m *member) commit(t *table, c Commit) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	lo := c.LSN
	switch {
	case c.Snapshot && c.Offset.IsZero(): // else it is what the shape was at a marker, as any other commit
		lo = m.first - 1
	case m.first > 0:
		lo = max(lo, m.first-1)
	}
	m.lane = lane{ready: true, lo: lo, upto: c.Passed}
	m.offset, m.staged = c.Offset, t
	if m.goal != nil {
		m.reachLocked(m.goal)
	}
	g.settled = false
	g.turnLocked()
}

// reachLocked takes note of how far the log has come.
func (m *member) reachLocked(to *goal) {
	if to == nil || to.handle != m.shape.info.Handle {
		return
	}
	if m.goal = to; m.lane.ready && !m.lane.moving && !m.offset.Before(to.offset) {
		m.lane.upto = max(m.lane.upto, to.lsn)
	}
}

// showLocked makes visible what was read.
func (m *member) showLocked() {
	if m.staged == nil {
		return
	}
	m.staged.commit() // what its goroutine does to it waits for the next transaction
	m.shown = shown{handle: m.shape.info.Handle, table: m.staged, offset: m.offset, lsn: m.lane.lo, passed: m.lane.upto}
	m.staged, m.ended = nil, false
}

// lost notes that the incarnation that was read is over.
func (m *member) lost(err error) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	m.staged, m.lane, m.goal, m.first = nil, lane{}, nil, 0
	m.ended, m.stalled = true, err
	g.floor = 0 // the next incarnation may be of another history
	select {
	case <-m.proceed:
	default:
	}
	g.signalLocked()
}

// stall notes what keeps the shape from being up to date, nil when that is over.
func (m *member) stall(err error) {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	m.stalled = err
	m.group.signalLocked()
}
