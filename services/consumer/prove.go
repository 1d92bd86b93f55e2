package consumer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// awaited is a proof that the main loop looks for, on behalf of a batch. It is the main
// loop's until done is closed.
type awaited struct {
	proof

	nudge string // payload of the barriers written behind the proof's message
	gone  bool   // the message will not come
	done  chan struct{}
}

// expect begins to look for the proof of a snapshot that is about to be opened: its
// message may come before the one who opens it goes on. Runs on the main loop.
func (s *session) expect() *awaited {
	s.snapshots++
	id := fmt.Sprintf("%s/%d/snapshot/%d", s.c.cfg.Name, s.began, s.snapshots)
	a := &awaited{proof: proof{id: id}, nudge: id + "/nudge", done: make(chan struct{})}
	s.proofs[a] = true
	return a
}

// judge decides what is decided by now. at is where the change log stands. Runs on the main loop.
func (s *session) judge(a *awaited, at change.LSN) {
	a.gone = a.gone || a.lost(at)
	if a.shown || a.gone {
		close(a.done)
		delete(s.proofs, a)
	}
}

// lookFor looks for proofs where a message of the change log comes.
func (s *session) lookFor(at change.LSN) {
	for a := range s.proofs {
		s.judge(a, at)
	}
}

// show looks for proofs in a barrier.
func (s *session) show(c wire.Control) {
	for a := range s.proofs {
		a.take(c)
		a.gone = !a.shown && c.Payload == a.nudge // written later, it stands behind the message
		s.judge(a, 0)
	}
}

// prove waits until the change log has shown that it goes on with what a
// snapshot saw, whose message's record ends at lsn. It fails with errUnproven if
// the change log goes on without it.
func (s *session) prove(ctx context.Context, a *awaited, lsn change.LSN) error {
	err := s.onMain(ctx, func(context.Context) error {
		if s.proofs[a] {
			a.lsn = lsn
			s.judge(a, s.read.LSN)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.failedToNudge(ctx, s.barrier(ctx, a.nudge))
	t := time.NewTicker(s.c.cfg.Nudge)
	defer t.Stop()
	for {
		select {
		case <-a.done:
			if a.gone {
				return errUnproven
			}
			return nil
		case <-t.C:
			s.nudge(ctx, a.nudge)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// forget stops looking for a proof.
func (s *session) forget(ctx context.Context, a *awaited) {
	_ = s.onMain(ctx, func(context.Context) error { delete(s.proofs, a); return nil }) // else the session is over
}

// whileAny is ctx until all members are stopped.
func whileAny(ctx context.Context, members []*parked) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	var left atomic.Int64
	left.Store(int64(len(members)))
	stops := make([]func() bool, 0, len(members))
	for _, p := range members {
		stops = append(stops, context.AfterFunc(p.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
