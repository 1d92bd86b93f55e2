package ingest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/change"
)

// confirmer tells Postgres how far the change log is. It runs beside the
// reader, so that the server hears from us while back-pressure holds that.
type confirmer struct {
	s        *session
	interval time.Duration // of status updates with nothing new
	tick     time.Duration // of looking whether there is something new
	asked    chan struct{} // one signal: the server wants an answer now
	received atomic.Uint64 // up to where the WAL has come in

	mu        sync.Mutex // of what is sent
	confirmed change.LSN
	sent      time.Time
}

const (
	longestTick  = time.Second
	shortestTick = 10 * time.Millisecond
	// silence is how many intervals a server may say nothing, though each
	// status update then asks it to, before the connection counts as dead.
	silence = 4
)

func newConfirmer(s *session) *confirmer {
	c := &confirmer{s: s, interval: senderTimeout(s.server.senderTimeout) / 3, asked: make(chan struct{}, 1), confirmed: s.server.slot.ConfirmedFlush}
	c.tick = max(min(longestTick, c.interval, s.g.cfg.SyncInterval/4), shortestTick)
	c.received.Store(uint64(c.confirmed))
	return c
}

// answer has a status update sent now.
func (c *confirmer) answer() {
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

// keepRecord notes in the record what is stored, and starts the sync interval
// for it, until ctx ends. It may wait for NATS, so it is apart from sendStatus.
func (c *confirmer) keepRecord(ctx context.Context) error {
	ticker := time.NewTicker(c.tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := c.note(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

func (c *confirmer) note(ctx context.Context) error {
	acked, last := c.s.window.stored()
	if acked > c.s.record.rec.Acked {
		rec := c.s.record.rec
		rec.Acked, rec.Last = acked, max(rec.Last, last)
		if err := c.s.record.save(ctx, rec); err != nil {
			return err
		}
	}
	c.s.window.do(func(w *ackWindow) { w.stamp(acked, time.Now()) })
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sendStatus sends status updates until ctx ends.
func (c *confirmer) sendStatus(ctx context.Context) error {
	ticker := time.NewTicker(c.tick)
	defer ticker.Stop()
	loop := c.s.g.counters.loops.Begin()
	defer loop.End()
	for {
		loop.Turn()
		force := false
		select {
		case <-ctx.Done():
			return nil
		case <-c.asked:
			force = true
		case <-ticker.C:
		}
		now := time.Now()
		blocked := c.s.publish.blockedFor(now)
		if blocked > c.s.g.cfg.MaxBackPressure {
			return errBackPressure
		}
		// While an append waited, nobody listened; the silence is ours.
		quiet := now.Sub(later(c.s.wire.LastHeard(), time.Unix(0, c.s.publish.freed.Load())))
		if blocked == 0 && quiet > silence*c.interval {
			return fmt.Errorf("the Postgres server has not been heard of for %s", quiet.Round(time.Second))
		}
		if err := c.update(ctx, now, force, quiet > c.interval); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// update sends a status update if there is something new, if it is time to, or
// if it is forced to.
func (c *confirmer) update(ctx context.Context, now time.Time, force, wantReply bool) error {
	var lsn change.LSN
	c.s.window.do(func(w *ackWindow) { lsn = w.confirmable(now) })
	c.mu.Lock()
	defer c.mu.Unlock()
	news := lsn > c.confirmed
	if !news && !force && now.Sub(c.sent) < c.interval {
		return nil
	}
	if news {
		c.s.g.cfg.Failpoint(failpoint.BeforeConfirm)
		c.confirmed = lsn
	}
	// Never 0: the library would turn that into "flushed up to the write
	// position". A slot's own position is not.
	if c.confirmed == 0 {
		return nil
	}
	c.sent = now
	err := pglogrepl.SendStandbyStatusUpdate(ctx, c.s.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: pglogrepl.LSN(max(change.LSN(c.received.Load()), c.confirmed)),
		WALFlushPosition: pglogrepl.LSN(c.confirmed),
		WALApplyPosition: pglogrepl.LSN(c.confirmed),
		ClientTime:       now,
		ReplyRequested:   wantReply,
	})
	if err != nil {
		return fmt.Errorf("send a status update to Postgres: %w", err)
	}
	c.s.g.counters.confirmed.Store(uint64(c.confirmed))
	return nil
}

// last confirms what may be confirmed at the end of a session.
func (c *confirmer) last(ctx context.Context) error {
	return c.update(ctx, time.Now(), true, false)
}
