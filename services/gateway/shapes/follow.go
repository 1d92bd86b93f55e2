package shapes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// errTruncated says that a shape lost all its rows at once, for which the protocol has no message but to begin again.
var errTruncated = errors.New("its table was truncated")

// follow reads what is committed from a place on, until ctx ends or the shape does.
func (s *Shape) follow(ctx context.Context, from change.Offset) {
	defer close(s.done)
	err := s.run(ctx, from)
	for folded(err) { // so much came meanwhile, and went, that what stands between is not there
		s.log().WarnContext(ctx, "a shape's log was folded under the gateway, which goes on at its end", slog.Any("error", err))
		if from, err = s.keeper.completes(ctx, s.shape, s.stream, s.subject()); err == nil {
			s.publish(batch{to: from}, true)
			err = s.run(ctx, from)
		}
	}
	switch _, refetch := errors.AsType[*client.MustRefetchError](err); {
	case context.Cause(ctx) != nil && ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ErrOver, context.Cause(ctx))
	case errors.Is(err, errTruncated):
		s.forget(ctx)
		err = fmt.Errorf("%w: %w", ErrOver, err)
	case refetch:
		s.log().InfoContext(ctx, "a shape has ended; its readers begin again", slog.Any("reason", err))
		err = fmt.Errorf("%w: %w", ErrOver, err)
	default:
		s.log().ErrorContext(ctx, "cannot follow a shape", slog.Any("error", err))
	}
	s.end(err)
}

// folded reports whether a log lives on that does not reach back any more to where it was read.
func folded(err error) bool {
	e, ok := errors.AsType[*client.MustRefetchError](err)
	return ok && e.Again
}

func (s *Shape) run(ctx context.Context, from change.Offset) error {
	ctx, cancel := context.WithCancel(ctx)
	f := follower{shape: s, build: builder{encoder: s.encoder}}
	defer f.settling.Wait()
	defer cancel()
	sub := s.shape.Subscribe(client.Position{Handle: s.Handle(), Offset: from}, client.Options{Buffer: s.keeper.cfg.Buffer, Log: s.log()})
	for event, err := range sub.Events(ctx) {
		if err == nil {
			err = f.take(event) //nolint:contextcheck // a trace comes with its header
		}
		if err != nil {
			return err
		}
		if f.mustAsk() {
			f.settling.Go(func() { f.settle(ctx) })
		}
	}
	return errors.New("the subscription ended")
}

// follower gathers events until clients may see them.
type follower struct {
	shape    *Shape
	settling sync.WaitGroup // of settle

	mu     sync.Mutex // guards what follows
	build  builder
	big    bool           // more came than the window takes: it is read from the log when it is asked for
	open   bool           // a transaction has begun and not ended
	held   *change.Offset // the last commit marker, which is not shown while what was deferred before it may be missing
	asking bool           // settle runs
	began  time.Time      // when the transaction that is open was begun to be read, if it is traced
}

func (f *follower) take(event client.Event) error {
	if e, ok := event.(client.Stalled); ok {
		f.shape.stall(e.Err)
		return nil
	}
	f.shape.stall(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch e := event.(type) {
	case client.Begin:
		f.open = true
		if e.Trace != "" {
			f.began = time.Now()
		}
		f.build.begin(e)
	case client.Change:
		return f.changeLocked(e)
	case client.Abort:
		f.open = false
		if !f.big {
			f.build.abort()
		}
	case client.Commit:
		f.open, f.held = false, &e.Offset
		f.build.name(e.XID)
		if e.Trace != "" {
			f.shape.keeper.cfg.Tracer.Span(e.Trace, "read", tracing.Consumer, f.shape.Handle(), f.began).End(nil)
		}
		// Else transactions that the unit before deferred are still to come, or it is not known here that none are.
		if e.Passed >= e.LSN {
			f.showLocked(e.Offset)
		}
	}
	return nil
}

func (f *follower) changeLocked(e client.Change) error {
	if e.Kind == client.Truncate {
		return errTruncated
	}
	if f.big {
		return nil
	}
	f.build.add(e)
	if f.big = len(f.build.messages) > f.shape.keeper.cfg.WindowBytes; f.big {
		f.build = builder{encoder: f.build.encoder}
	}
	return nil
}

// showLocked shows what was gathered, up to a commit marker up to which nothing is missing.
func (f *follower) showLocked(to change.Offset) {
	f.build.close(true)
	f.shape.publish(batch{to: to, messages: f.build.messages, ends: f.build.ends, places: f.build.places, xids: f.build.xids}, f.big)
	f.build, f.big, f.held = builder{encoder: f.build.encoder}, false, nil
}

// mustAsk reports whether settle is to be started.
func (f *follower) mustAsk() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil || f.asking {
		return false
	}
	f.asking = true
	return true
}

// publish shows a batch to everybody.
func (s *Shape) publish(b batch, big bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if big {
		s.window.skip(b.to)
	} else {
		s.window.add(b, s.keeper.cfg.WindowBytes)
	}
	s.tail = b.to
	s.signalLocked()
}

func (s *Shape) stall(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = err
}

// forget has the shape made again.
func (s *Shape) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	s.log().InfoContext(ctx, "the table was truncated; the shape is made again")
	if err := s.shape.Delete(ctx); err != nil && !errors.Is(err, client.ErrNotFound) {
		s.log().WarnContext(ctx, "cannot delete a shape whose table was truncated", slog.Any("error", err))
	}
}
