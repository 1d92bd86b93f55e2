package live

import (
	"context"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// Expect begins to look for the proof of a snapshot that is about to be opened. Runs on the main loop.
func (s *Loop) Expect() *changelog.Awaited {
	s.snapshots++
	return s.proofs.Expect(fmt.Sprintf("%s/%d/snapshot/%d", s.Cfg.Name, s.Began, s.snapshots))
}

// Prove waits until the change log has shown that it goes on with what a
// snapshot saw, whose message's record ends at lsn. It fails with errUnproven if
// the change log goes on without it.
func (s *Loop) Prove(ctx context.Context, a *changelog.Awaited, lsn change.LSN) error {
	err := s.OnMain(ctx, func(context.Context) error {
		s.proofs.Stands(a, lsn, s.Read.LSN)
		return nil
	})
	if err != nil {
		return err
	}
	s.failedToNudge(ctx, s.Barrier(ctx, a.Nudge))
	t := time.NewTicker(s.Cfg.Nudge)
	defer t.Stop()
	for {
		select {
		case <-a.Done:
			if a.Gone {
				return changelog.ErrUnproven
			}
			return nil
		case <-t.C:
			s.Nudge(ctx, a.Nudge)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Forget stops looking for a proof.
func (s *Loop) Forget(ctx context.Context, a *changelog.Awaited) {
	_ = s.OnMain(ctx, func(context.Context) error { s.proofs.Forget(a); return nil }) // else the session is over
}
