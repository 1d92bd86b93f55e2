package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// fullEvery is which of an idle subscription's looks into the log are full.
const fullEvery = 6

// pendingLeast, in bytes, is enough for a few of the largest messages a server
// takes by default.
const pendingLeast = 4 << 20

// run is one iteration over a subscription's events.
type run struct {
	shape   *Shape
	opts    Options
	log     *slog.Logger
	subject string
	from    Position
	fetch   fetcher
	live    *liveQueue
	cursor  cursor
	batch   []raw // fetched and not taken
	status  chan nats.Status

	behind  bool      // events were read from the log since the last CaughtUp
	looks   int       // idle looks into the log so far
	full    bool      // the next look must be a full one
	failed  bool      // the last look failed
	suspect time.Time // since when the log seems to have lost something
}

func newRun(s *Subscription, emit func(Event) error) *run {
	info := &s.shape.info
	c := s.shape.client
	r := &run{
		shape:   s.shape,
		opts:    s.opts,
		log:     s.opts.Log.With(slog.String("handle", info.Handle)),
		subject: c.source.LogSubject(info.Partition, info.Handle),
		from:    s.pos,
		fetch:   fetcher{client: c, partition: info.Partition, bytes: s.opts.Buffer},
		live:    newLiveQueue(s.opts.Buffer),
		behind:  true,
	}
	r.cursor = cursor{
		handle: info.Handle, layout: s.shape.layout, emit: emit,
		began: !s.pos.IsBeginning(), pos: s.pos.Offset(), base: s.pos.Offset(), bottom: true,
	}
	return r
}

// read hands out events until an error ends the iteration.
func (r *run) read(ctx context.Context) error {
	nc := r.shape.client.nc
	r.status = nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(r.status)
	r.cursor.rows = func(e wire.Entry, f func(change.Row) error) error { return r.segment(ctx, e, f) }

	// The order closes the gap between catching up and live: what is stored
	// after the subscription stands is told, what was before is in the log.
	sub, err := nc.Subscribe(r.shape.client.source.LiveSubject(r.shape.info.Partition, r.shape.info.Handle), r.live.push)
	if err != nil {
		return fmt.Errorf("subscribe to shape %s: %w", r.shape.info.Handle, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	// push is quick, so little piles up in front of it; what would is dropped and read from the log.
	if err := sub.SetPendingLimits(-1, max(r.opts.Buffer, pendingLeast)); err != nil {
		return fmt.Errorf("subscribe to shape %s: %w", r.shape.info.Handle, err)
	}
	err = r.retry(ctx, "reach NATS", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		return nc.FlushWithContext(ctx)
	})
	if err != nil {
		return err
	}
	if err := r.retry(ctx, "find the place in the log", r.locate); err != nil {
		return err
	}
	for ctx.Err() == nil {
		h := r.live.head()
		switch {
		case r.cursor.holding() && r.cursor.due(h.tail):
			if err := r.cursor.advance(h.tail); err != nil {
				return err
			}
			if r.cursor.holding() && r.cursor.due(h.tail) {
				return r.cursor.broken(r.cursor.pos, "its newest message says %q, but a transaction stands open before that", h.tail)
			}
		case r.cursor.due(h.tail):
			if err := r.step(ctx, h); err != nil {
				return err
			}
		case r.behind && r.cursor.began:
			r.behind = false
			if err := r.cursor.emit(CaughtUp{Offset: r.cursor.base}); err != nil {
				return err
			}
		default:
			if err := r.wait(ctx); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

// step takes the log's next message, which is known to be there.
func (r *run) step(ctx context.Context, h head) error {
	if r.cursor.fed >= h.seq {
		return r.cursor.broken(r.cursor.pos, "its newest message says %q, but nothing of that was in the log", h.tail)
	}
	for len(r.batch) > 0 && r.batch[0].seq <= r.cursor.fed {
		r.batch = r.batch[1:]
	}
	if len(r.batch) > 0 {
		m := r.batch[0]
		r.batch[0], r.batch = raw{}, r.batch[1:]
		return r.cursor.take(m)
	}
	if m, ok := r.live.take(r.cursor.fed); ok {
		return r.cursor.take(m)
	}
	r.behind = true
	return r.retry(ctx, "read the log", func(ctx context.Context) error {
		var err error
		r.batch, err = r.fetch.batch(ctx, r.subject, r.cursor.fed+1)
		if err == nil && len(r.batch) == 0 {
			err = r.look(ctx, true)
			if err == nil {
				err = fmt.Errorf("the log does not hold what follows message %d yet", r.cursor.fed)
			}
		}
		return err
	})
}

// locate finds where in the log to begin, once its newest message is known.
func (r *run) locate(ctx context.Context) error {
	if r.from.IsBeginning() {
		return r.look(ctx, true)
	}
	m, h, found, err := r.fetch.newest(ctx, r.subject)
	if err != nil {
		return err
	}
	pos := r.from.Offset()
	if !found || !h.tail.Ended && h.tail.Committed.Before(pos) {
		if err := r.lost(ctx, h, found); err != nil {
			return err
		}
		if r.suspect.IsZero() {
			return nil // it is about to begin
		}
		return fmt.Errorf("the log does not reach offset %s yet", pos)
	}
	at, err := r.fetch.start(ctx, r.subject, pos, m, h)
	if err != nil {
		return err
	}
	r.cursor.fed, r.cursor.bottom, r.suspect = at.fed, at.bottom, time.Time{}
	r.live.note(h)
	return nil
}

// wait returns when there may be something to read.
func (r *run) wait(ctx context.Context) error {
	// Subscriptions that began together should not look together for ever.
	pause := r.opts.Recheck + rand.N(r.opts.Recheck/4+1)
	if r.failed {
		pause = min(pause, time.Second)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.live.wake:
		return nil
	case s := <-r.status:
		if s == nats.CLOSED {
			return r.closed()
		}
		r.full = true // what was told while the connection was down is lost
	case <-timer.C:
		r.looks++
		if r.looks%fullEvery == 0 || !r.cursor.began || !r.suspect.IsZero() {
			r.full = true
		}
	}
	err := r.look(ctx, r.full)
	r.failed = err != nil
	switch {
	case err == nil:
		r.full = false
	case final(err):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		r.log.WarnContext(ctx, "looking into a shape's log failed, will do it again", slog.Any("error", err))
	}
	return nil
}

func (r *run) closed() error {
	return fmt.Errorf("read shape %s: %w", r.shape.info.Handle, nats.ErrConnectionClosed)
}

// look learns the log's newest message from the log. Unless it is full it only
// looks for a message behind the last one taken, which costs next to nothing
// when there is none, but cannot tell a log without news from one that is gone.
func (r *run) look(ctx context.Context, full bool) error {
	if !full {
		_, _, found, err := r.fetch.next(ctx, r.subject, r.cursor.fed+1)
		if err != nil || !found {
			return err
		}
	}
	_, h, found, err := r.fetch.newest(ctx, r.subject)
	if err != nil {
		return err
	}
	if found && h.seq >= r.cursor.fed && (h.tail.Ended || !h.tail.Committed.Before(r.cursor.base)) {
		r.suspect = time.Time{}
		r.live.note(h)
		return nil
	}
	return r.lost(ctx, h, found)
}

// lost decides about a log that is empty, or ends before what was read of it.
func (r *run) lost(ctx context.Context, h head, found bool) error {
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	info, err := r.shape.Refresh(asking)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && info.Handle != r.shape.info.Handle:
		return &MustRefetchError{Handle: r.shape.info.Handle, Reason: "it was deleted"}
	case err == nil && info.State == control.StateEnded:
		return &MustRefetchError{Handle: r.shape.info.Handle, Reason: info.Reason}
	case err != nil:
		r.log.WarnContext(ctx, "cannot ask after a shape whose log lacks something", slog.Any("error", err))
	}
	if !found && r.cursor.fed == 0 && (r.from.IsBeginning() || err == nil && info.State == control.StateCreating) {
		return nil // its snapshot has not been taken yet
	}
	if r.suspect.IsZero() {
		r.suspect = time.Now()
	}
	if time.Since(r.suspect) < r.opts.Patience {
		return nil
	}
	reason := "its log is gone"
	if found {
		reason = fmt.Sprintf("its log ends at offset %s, before offset %s from which to go on; it was replaced or restored", h.tail.Committed, r.cursor.base)
	}
	return &MustRefetchError{Handle: r.shape.info.Handle, Reason: reason}
}

// retry calls f until it succeeds or fails for good.
func (r *run) retry(ctx context.Context, what string, f func(context.Context) error) error {
	pause := newBackoff(20*time.Millisecond, 2*time.Second)
	for {
		err := f(ctx)
		switch {
		case err == nil || final(err):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case r.shape.client.nc.IsClosed():
			return r.closed()
		}
		r.log.WarnContext(ctx, "reading a shape failed, trying again", slog.String("doing", what), slog.Duration("retry_in", pause.next), slog.Any("error", err))
		if err := pause.wait(ctx, nil); err != nil {
			return err
		}
	}
}

// final reports whether an error ends the iteration whatever the circumstances.
func final(err error) bool {
	var refetch *MustRefetchError
	var broken *BrokenLogError
	return errors.As(err, &refetch) || errors.As(err, &broken) || errors.Is(err, errStop)
}
