package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/pkg/client/internal/logread"
)

// Options tune a subscription or view. The zero value is useful.
type Options struct {
	// Buffer bounds, in bytes, a batch read from the log, and again what the
	// server has told and the app has not taken; default 4 MiB. A single
	// message or row may exceed it.
	Buffer int
	// Recheck is how often an idle subscription looks into the log for what
	// it may not have been told; default 5 s. A lost connection is followed
	// by a look of its own.
	Recheck time.Duration
	// Patience is how long a log that seems to have lost what it held, as a
	// replica that lags behind makes it seem, is waited for before a
	// MustRefetchError; and how long a stream that this user does not see, though the control
	// plane says that the shape is there, before a PermanentError; default 10 s.
	Patience time.Duration
	// Nearest reads on behind the last op or marker at or before the position, which need not stand in the
	// log itself. Without it a position that is not there ends the reading with a MustRefetchError, which
	// is how a log that was replaced by another one shows.
	Nearest bool
	// Log receives what is retried; nil means nobody. The app is told by Stalled.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Buffer <= 0 {
		o.Buffer = 4 << 20
	}
	if o.Recheck <= 0 {
		o.Recheck = 5 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Subscription reads a shape's log. It holds nothing between iterations, so
// it need not be closed. Not safe for concurrent use, but for Stalled.
type Subscription struct {
	shape *Shape
	pos   Position
	opts  Options

	stalled atomic.Pointer[error] // what keeps it from reading on; nil if nothing does
}

// Subscribe prepares to read the shape's events behind from. It does no I/O;
// Events and Transactions do. If from is of another handle, they end with a
// MustRefetchError at once.
func (s *Shape) Subscribe(from Position, opts Options) *Subscription {
	return &Subscription{shape: s, pos: from, opts: opts.withDefaults()}
}

// Position is behind the last Commit that was handed out.
func (s *Subscription) Position() Position { return s.pos }

// Stalled is what keeps an iteration from reading on, such as a lost connection: it fails and is
// tried again. It is nil when nothing is known to. Safe for concurrent use, as by a health check.
func (s *Subscription) Stalled() error {
	if err := s.stalled.Load(); err != nil {
		return *err
	}
	return nil
}

// Events iterates over the shape's events and waits for more at the end of the
// log, until ctx ends. All work is done in the caller's goroutine while it asks for the next
// event, but for taking note of what the server tells.
//
// The iteration ends when the app leaves the loop, or with an error, which is its
// last value: a *MustRefetchError, a *PermanentError (nats.ErrConnectionClosed among
// them), a *BrokenLogError or ctx's cause. Everything else is retried, and Stalled
// tells of it. Events can be called again after that and goes on from Position.
func (s *Subscription) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		of := logread.Shape{Link: s.shape.client.logs, Info: s.shape.info, Layout: s.shape.layout, Ask: s.shape.Refresh}
		r := logread.NewReader(of, logread.Options(s.opts), s.pos, func(e Event) error {
			s.note(e)
			if !yield(e, nil) {
				return logread.ErrStop
			}
			return nil
		})
		err := checkPosition(s.pos, s.shape.info.Handle)
		if err == nil {
			err = r.Read(ctx)
		}
		if !errors.Is(err, logread.ErrStop) {
			yield(nil, err)
		}
	}
}

// note takes from an event where the subscription stands.
func (s *Subscription) note(e Event) {
	switch e := e.(type) {
	case Commit:
		s.pos = e.Position()
	case Stalled:
		s.stalled.Store(&e.Err)
		return
	}
	if s.stalled.Load() != nil {
		s.stalled.Store(nil)
	}
}

// checkPosition returns why p is no position in the shape with a handle, nil if it is one.
func checkPosition(p Position, handle string) error {
	switch {
	case p.IsBeginning() || p.Handle == handle:
		return nil
	case p.Handle == "":
		return &MustRefetchError{Handle: handle, Reason: fmt.Sprintf("offset %s was given without the handle of the shape that it came from", p.Offset)}
	}
	return &MustRefetchError{Handle: p.Handle, Reason: fmt.Sprintf("the shape's handle is %s now; a position of another one means nothing in it", handle)}
}
