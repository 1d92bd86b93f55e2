package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// expect begins to look for the proof of a snapshot that is about to be opened. Runs on the main loop.
func (s *mainLoop) expect() *changelog.Awaited {
	s.snapshots++
	return s.proofs.Expect(fmt.Sprintf("%s/%d/snapshot/%d", s.cfg.Name, s.began, s.snapshots))
}

// prove waits until the change log has shown that it goes on with what a
// snapshot saw, whose message's record ends at lsn. It fails with errUnproven if
// the change log goes on without it.
func (s *mainLoop) prove(ctx context.Context, a *changelog.Awaited, lsn change.LSN) error {
	err := s.onMain(ctx, func(context.Context) error {
		s.proofs.Stands(a, lsn, s.read.LSN)
		return nil
	})
	if err != nil {
		return err
	}
	s.failedToNudge(ctx, s.barrier(ctx, a.Nudge))
	t := time.NewTicker(s.cfg.Nudge)
	defer t.Stop()
	for {
		select {
		case <-a.Done:
			if a.Gone {
				return changelog.ErrUnproven
			}
			return nil
		case <-t.C:
			s.nudge(ctx, a.Nudge)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// forget stops looking for a proof.
func (s *mainLoop) forget(ctx context.Context, a *changelog.Awaited) {
	_ = s.onMain(ctx, func(context.Context) error { s.proofs.Forget(a); return nil }) // else the session is over
}
