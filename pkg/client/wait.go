package client

import (
	"context"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/pkg/client/internal/logread"
	"github.com/shapebus/shapebus/pkg/control"
)

// WaitReady waits until the view has rows to show. It returns nil, what ended
// the view, or the cause of ctx's end.
func (v *View) WaitReady(ctx context.Context) error {
	for {
		changed := v.Changed()
		if _, ready, err := v.state(); ready || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Wait waits until the view has every transaction that committed up to lsn,
// such as the Commit.LSN of another shape of the source: then both can show
// the same moment. It returns nil, what ended the view, or the cause of ctx's end.
//
// While no transaction of the shape's own is at or behind lsn, Wait asks the
// control plane how far the source's change log has been seen on the shape's
// behalf. That moves with what is committed: on an idle database it may stay
// short of the current WAL position.
func (v *View) Wait(ctx context.Context, lsn LSN) error {
	pause := logread.NewBackoff(10*time.Millisecond, time.Second)
	var aim *goal
	for {
		changed := v.Changed()
		s, ready, err := v.state()
		switch {
		case err != nil:
			return err
		case ready && s.passed >= lsn && !s.passed.IsZero():
			return nil
		case ready && aim != nil && aim.handle == s.handle && !s.offset.Before(aim.offset):
			return nil
		}
		if aim == nil || aim.handle != v.Shape().Handle() {
			if aim, err = v.goal(ctx, lsn); err != nil {
				if kind := logread.Sort(err); kind == logread.FateDecided || kind == logread.FatePermanent {
					return fmt.Errorf("learn whether the view has everything up to %s: %w", lsn, err)
				}
			}
			if aim != nil {
				continue
			}
		}
		if err := pause.Wait(ctx, changed); err != nil {
			return err
		}
	}
}

// state returns what the view shows; ready is false while it is no incarnation's.
func (v *View) state() (s shown, ready bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.shown, v.shown.table != nil && !v.ended, v.err
}

// goal is how far a shape's log is known to have come: who has read it up to offset has every
// transaction that committed up to lsn.
type goal struct {
	handle string
	offset Offset
	lsn    LSN
}

// goal returns nil when it is not known that the log holds everything up to lsn, and
// perhaps why that cannot be learned.
func (v *View) goal(ctx context.Context, lsn LSN) (*goal, error) {
	g, err := v.Shape().reached(ctx)
	if err != nil || g == nil || g.lsn < lsn {
		return nil, err
	}
	return g, nil
}

// reached learns how far the log has come; nil if that cannot be said. The order matters: what
// was applied when the control plane answered is in the log that is looked into after that.
func (s *Shape) reached(ctx context.Context) (*goal, error) {
	ctx, cancel := context.WithTimeout(ctx, logread.AnswerTimeout)
	defer cancel()
	info, err := s.Refresh(ctx)
	if err != nil || info.State != control.StateLive || info.Handle != s.info.Handle {
		return nil, err
	}
	tail, found, err := s.client.logs.Tail(ctx, &s.info)
	if err != nil || !found || tail.Ended {
		return nil, err
	}
	// What the last marker deferred is not looked at: it may have come since, and have changed nothing. What had
	// not come when the control plane answered is behind what was applied.
	return &goal{handle: s.info.Handle, offset: tail.Committed, lsn: info.Applied}, nil
}
