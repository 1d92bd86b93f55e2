package client

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/pkg/client/internal/logread"
	"github.com/shapebus/shapebus/pkg/control"
)

// run reads one incarnation of the shape after another.
func (v *View) run(ctx context.Context) {
	defer close(v.done)
	defer v.cancel(nil)
	pause := logread.NewBackoff(100*time.Millisecond, 5*time.Second)
	shape, from := v.shape, v.from // only run changes the shape
	for {
		if from != nil && from.Position.Handle != shape.info.Handle && v.again {
			from = nil
		}
		err := v.follow(ctx, shape, from, pause)
		from = nil
		refetch, over := errors.AsType[*MustRefetchError](err)
		if over && refetch.Again && pause.Wait(ctx, nil) == nil {
			// What was read is shown until all of the rows are there again.
			v.opts.Log.InfoContext(ctx, "a shape's log was folded, reading its rows again", slog.String("handle", refetch.Handle), slog.String("reason", refetch.Reason))
			v.stall(err)
			continue
		}
		if v.again && over {
			v.opts.Log.InfoContext(ctx, "a shape ended, making it again", slog.String("handle", refetch.Handle), slog.String("reason", refetch.Reason))
			v.mu.Lock()
			v.ended, v.stalled = true, err
			v.signalLocked()
			v.mu.Unlock()
			if shape, err = recreate(ctx, v.client, v.def, &v.opts, pause, v.stall); err == nil {
				v.mu.Lock()
				v.shape = shape
				v.mu.Unlock()
				continue
			}
		}
		v.mu.Lock()
		v.err = err
		v.signalLocked()
		v.mu.Unlock()
		return
	}
}

// follow reads one incarnation of the shape to its end, from a snapshot on if there is one.
func (v *View) follow(ctx context.Context, s *Shape, from *Snapshot, p *logread.Backoff) error {
	t, at := newTable(s.layout, s.info.HasKey), Beginning()
	if from != nil {
		if at = from.Position; at.Handle == s.info.Handle && v.shown.table != nil { // show writes it, and only this goroutine shows
			t = v.shown.table
		}
	}
	sub := s.Subscribe(at, v.opts)
	told := v.Stalled() != nil
	for event, err := range sub.Events(ctx) {
		if err != nil {
			return err
		}
		if _, stalled := event.(Stalled); !stalled && told {
			told = false
			v.stall(nil)
		}
		switch e := event.(type) {
		case Stalled:
			told = true
			v.stall(e.Err)
		case Begin, Abort:
			t.begin()
		case Change:
			if err := t.apply(e); err != nil {
				return &BrokenLogError{Handle: s.info.Handle, Offset: e.Offset, What: err.Error()}
			}
		case Commit:
			v.show(s, t, e)
			p.Reset()
		}
	}
	return nil
}

// recreate makes a shape again that has ended, and tells stall what it waits for. It gives up only on
// a refusal that would be repeated.
func recreate(ctx context.Context, c *Client, def Definition, opts *Options, p *logread.Backoff, stall func(error)) (*Shape, error) {
	var refused time.Time // since when what the source lacks keeps the shape from being made
	for {
		if err := p.Wait(ctx, nil); err != nil {
			return nil, err
		}
		s, err := c.Create(ctx, def)
		if err == nil {
			return s, nil
		}
		needs, _ := errors.AsType[*RequestError](err)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case c.nc.IsClosed():
			return nil, logread.Permanent("make the shape again", logread.ClosedError(c.nc))
		case needs != nil && needs.Code == control.CodeForbidden && (refused.IsZero() || time.Since(refused) < opts.Patience):
			// What ended the shape may be about to be mended, as a publication is that was dropped.
			if refused.IsZero() {
				refused = time.Now()
			}
		case logread.Sort(err) != logread.FateRetry:
			return nil, err
		}
		stall(err)
		opts.Log.WarnContext(ctx, "cannot make the shape again yet", slog.Any("error", err))
	}
}
