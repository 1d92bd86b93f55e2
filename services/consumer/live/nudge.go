package live

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// Barrier writes one into the WAL, which flushes and sends all before it.
func (s *Loop) Barrier(ctx context.Context, name string) error { return s.Postgres.barrier(ctx, name) }

// Nudge writes a barrier for somebody who waits for the change log to go on, when the one before
// did not come. It has a connection of its own, one for all who nudge: those that are kept may lead
// to a server that another one has replaced. What fails is tried again by the next nudge.
func (s *Loop) Nudge(ctx context.Context, name string) {
	s.failedToNudge(ctx, s.Postgres.freshBarrier(ctx, name))
}

// failedToNudge tells of an error, if there is one.
func (s *Loop) failedToNudge(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	s.Stats.LastError.Store(err.Error())
	s.Log.WarnContext(ctx, "cannot write into the database's WAL; shapes that wait for the change log to go on may stand still", slog.Any("error", err))
}

// KeepMoving writes a barrier from time to time while somebody waits for the
// change log to go on, and it does not: the database is idle, and the barrier
// that was to move it may have been lost with a server.
func (s *Loop) KeepMoving(ctx context.Context, nudge func(context.Context)) error {
	var before changelog.Place
	for ctx.Err() == nil {
		service.WaitFor(ctx, s.Cfg.Nudge)
		stuck := false
		err := s.OnMain(ctx, func(context.Context) error {
			stuck = s.Read == before && len(s.elsewhere) > 0
			before = s.Read
			return nil
		})
		if err != nil {
			return service.IgnoreOver(ctx, err)
		}
		if stuck {
			nudge(ctx)
		}
	}
	return nil
}

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
