package logread

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// fullEvery is which of an idle subscription's looks into the log are full.
const fullEvery = 6

// pendingLeast, in bytes, is enough for a few of the largest messages a server
// takes by default.
const pendingLeast = 4 << 20

// Shape is what has to be known of a shape to read its log.
type Shape struct {
	Link   *Link
	Info   control.Shape
	Layout *event.Layout
	Ask    func(context.Context) (control.Shape, error) // asks the control plane after the shape
}

// Options say how a log is read, as Options of package client do. All are set.
type Options struct {
	Buffer   int
	Recheck  time.Duration
	Patience time.Duration
	Nearest  bool
	Log      *slog.Logger
}

// Reader is one iteration over the events of a log.
type Reader struct {
	shape   Shape
	opts    Options
	log     *slog.Logger
	subject string
	from    event.Position
	fetch   fetcher
	live    *liveQueue
	cursor  cursor
	batch   []raw // fetched and not taken
	status  chan nats.Status

	behind  bool      // events were read from the log since the last CaughtUp
	looks   int       // idle looks into the log so far
	since   time.Time // when reading last came further, or the log was last looked into
	heard   bool      // something was told since that did not lead further
	full    bool      // the next look must be a full one
	trouble trouble   // what keeps it from reading on
	suspect time.Time // since when the log seems to have lost something
	unsure  bool      // the log may be another one; nothing is taken before that is known
	rumor   rumor     // what was told and the log does not know
	refused error     // the connection's last error before the subscription

	restarts int // how often reading began with another generation
}

// errMoved is the reader's own: the log is not the one that was read, so the place in it
// must be found by the offset again.
var errMoved = errors.New("the log is another one")

// NewReader prepares to hand out what comes in a log behind from.
func NewReader(shape Shape, opts Options, from event.Position, emit func(event.Event) error) *Reader {
	info := &shape.Info
	r := &Reader{
		shape:   shape,
		opts:    opts,
		log:     opts.Log.With(slog.String("handle", info.Handle)),
		subject: shape.Link.source.LogSubject(info.Partition, info.Handle),
		from:    from,
		fetch:   fetcher{link: shape.Link, partition: info.Partition, bytes: opts.Buffer},
		live:    newLiveQueue(opts.Buffer),
		behind:  true,
		rumor:   rumor{pause: NewBackoff(20*time.Millisecond, 2*time.Second)},
	}
	r.cursor = cursor{
		handle: info.Handle, layout: shape.Layout, emit: emit,
		began: !from.IsBeginning(), pos: from.Offset, base: from.Offset, bottom: true,
	}
	return r
}

// Read hands out events until an error ends the iteration.
func (r *Reader) Read(ctx context.Context) error {
	nc := r.shape.Link.nc
	r.status = nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer nc.RemoveStatusListener(r.status)
	r.cursor.rows = func(e wire.Entry, f func(change.Row) error) error { return r.segment(ctx, e, f) }

	unsubscribe, err := r.subscribe(ctx)
	if err != nil {
		return err
	}
	defer unsubscribe()
	r.progress()
	if err := r.retry(ctx, "find the place in the log", r.locate); err != nil {
		return err
	}
	for ctx.Err() == nil {
		err := r.turn(ctx)
		switch broken := isBroken(err); {
		case r.cursor.gen != nil && (broken || errors.Is(err, errMoved)):
			err = errFolded
		case broken && r.cursor.mark.seq == 0 && r.restarts < mostRestarts:
			r.restarts++ // the first message to be read is not the one that was found: the log may have been folded since
			err = errMoved
		case broken || r.cursor.over: // says nothing if it is about another log, or was told and is not in the log
			if moved, cannot := r.moved(ctx); cannot == nil && moved {
				err = errMoved
			}
		}
		switch {
		case errors.Is(err, errFolded):
			err = r.again(ctx)
		case errors.Is(err, errMoved):
			err = r.relocate(ctx)
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// turn does what comes next.
func (r *Reader) turn(ctx context.Context) error {
	h, told, odd := r.live.head(r.cursor.place)
	r.unsure = r.unsure || odd
	select {
	case s := <-r.status:
		if err := r.connection(ctx, s); err != nil {
			return err
		}
	default:
	}
	switch {
	case r.unsure && r.cursor.mark.seq > 0:
		return r.makeSure(ctx)
	case r.cursor.gen != nil && !r.cursor.opened:
		return r.cursor.generation()
	case r.cursor.holding() && r.cursor.due(h.tail):
		if err := r.cursor.advance(h.tail); err != nil {
			return err
		}
		if r.cursor.holding() && r.cursor.due(h.tail) {
			return r.cursor.broken(r.cursor.pos, "its newest message says %q, but a transaction stands open before that", h.tail)
		}
		return nil
	case r.cursor.due(h.tail):
		return r.step(ctx, h)
	case r.cursor.due(told.tail):
		return r.verify(ctx, told)
	case r.behind && r.cursor.began && !r.trouble.on():
		r.behind = false
		return r.cursor.emit(event.CaughtUp{Offset: r.cursor.base})
	}
	return r.wait(ctx)
}

// step takes the log's next message, which is known to be there.
func (r *Reader) step(ctx context.Context, h head) error {
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
	if m, ok := r.live.take(r.cursor.place); ok {
		r.progress()
		return r.cursor.take(m)
	}
	r.behind = true
	return r.retry(ctx, "read the log", func(ctx context.Context) error {
		var err error
		r.batch, err = r.fetch.batch(ctx, r.subject, r.cursor.fed+1)
		if err != nil || len(r.batch) > 0 {
			return err
		}
		if err := r.look(ctx, true); err != nil {
			return err
		}
		if now, _, _ := r.live.head(r.cursor.place); now.seq <= r.cursor.fed || !r.cursor.due(now.tail) {
			return nil // what was told of is not in the log, or not yet
		}
		return fmt.Errorf("the log does not hold what follows message %d yet", r.cursor.fed)
	})
}

// wait returns when there may be something to read.
func (r *Reader) wait(ctx context.Context) error {
	// Subscriptions that began together should not look together for ever.
	pause := r.opts.Recheck + rand.N(r.opts.Recheck/4+1)
	if r.trouble.on() {
		pause = min(pause, time.Second)
	}
	// What is told only puts off the look if it leads further.
	timer := time.NewTimer(pause - time.Since(r.since))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.live.wake:
		r.heard = true
		return nil
	case s := <-r.status:
		return r.connection(ctx, s)
	case <-timer.C:
		r.looks++
		if r.looks%fullEvery == 0 || r.heard || !r.cursor.began || !r.suspect.IsZero() {
			r.full = true
		}
	}
	if err := r.unheard(); err != nil {
		return err
	}
	r.progress()
	return r.glance(ctx)
}

// progress puts off the next idle look.
func (r *Reader) progress() { r.since, r.heard = time.Now(), false }

// connection takes note of what happens to the connection.
func (r *Reader) connection(ctx context.Context, s nats.Status) error {
	// What was told meanwhile is lost, and the server may have been restored from a backup.
	r.full, r.unsure = true, true
	if s == nats.CLOSED {
		return r.closed()
	}
	if s == nats.CONNECTED {
		return nil
	}
	return r.failed(ctx, "reach the log", nats.ErrDisconnected)
}

// makeSure finds out whether the log is still the one that was read.
func (r *Reader) makeSure(ctx context.Context) error {
	r.full = true
	if err := r.glance(ctx); err != nil || !r.unsure {
		return err
	}
	return r.rumor.pause.Wait(ctx, nil)
}

// glance looks into the log once.
func (r *Reader) glance(ctx context.Context) error {
	if err := r.look(ctx, r.full); err != nil {
		return r.failed(ctx, "look into the log", err)
	}
	r.full = false
	r.well()
	return nil
}

// retry calls f until it succeeds or fails for good.
func (r *Reader) retry(ctx context.Context, doing string, f func(context.Context) error) error {
	pause := NewBackoff(20*time.Millisecond, 2*time.Second)
	for {
		err := f(ctx)
		if err == nil {
			r.well()
			return nil
		}
		if err := r.failed(ctx, doing, err); err != nil {
			return err
		}
		if err := pause.Wait(ctx, nil); err != nil {
			return err
		}
	}
}

func isBroken(err error) bool {
	var broken *event.BrokenLogError
	return errors.As(err, &broken)
}
