package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/live"
)

const (
	trimEvery = 5 * time.Second
	// sweepMost is the longest time between two looks for shapes that ended long ago.
	sweepMost = time.Hour
)

// sweepEvery is how often these are looked for: what is kept for a retention goes when at most a quarter more has passed.
func sweepEvery(retention time.Duration) time.Duration {
	return min(max(retention/4, time.Second), sweepMost)
}

// trim removes what nobody needs any more: the change log below every
// partition's checkpoint, and the last words of shapes that ended long ago.
func (s *session) trim(ctx context.Context) error {
	trimTick, sweepTick := time.NewTicker(min(trimEvery, s.c.cfg.SyncInterval)), time.NewTicker(sweepEvery(s.c.cfg.Retention))
	defer trimTick.Stop()
	defer sweepTick.Stop()
	trimmer := s.Changes.NewTrimmer(s.c.cfg.SyncInterval)
	var swept time.Time // when tombstones were
	for sweep := true; ; {
		if sweep {
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "ended shapes not swept", slog.Any("error", err))
			}
		}
		if sweep && time.Since(swept) >= registry.TombstoneAge {
			swept = time.Now()
			s.sweepTombstones(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-trimTick.C:
			sweep = false
		case <-sweepTick.C:
			sweep = true
		}
		first := false
		err := s.OnMain(ctx, func(context.Context) error {
			s.ForgetUnwanted()
			s.ForgetFinished()
			first = s.first()
			return nil
		})
		if err != nil {
			return service.IgnoreOver(ctx, err)
		}
		if !first { // another process does this for all
			continue
		}
		if err := s.sweepInner(ctx); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "inner shapes not swept", slog.Any("error", err))
		}
		if err := s.keeper.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "tables without shapes not given back", slog.Any("error", err))
		}
		if err := s.trimChanges(ctx, trimmer); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "change log not trimmed", slog.Any("error", err))
		}
	}
}

// trimChanges purges the change log below the lowest floor of all partitions.
func (s *session) trimChanges(ctx context.Context, trimmer *changelog.Trimmer) error {
	// What a partition needs that is not known here is above the floors of all others while it is new.
	source, err := s.Shapes.Source(ctx)
	if err != nil {
		return err
	}
	var low changelog.Place
	for n := range min(source.Partitions, len(s.Parts)) {
		c, ok, err := registry.ReadCheckpoint(ctx, s.JS, s.c.cfg.Source, n, s.Changes.HistoryID())
		if err != nil && s.c.down.has(n) {
			return nil // that has been said
		}
		if err != nil || !ok || c.FloorLSN == 0 {
			return err
		}
		if n == 0 || change.LSN(c.FloorLSN) < low.LSN {
			low = changelog.Place{LSN: change.LSN(c.FloorLSN), Seq: c.FloorSeq}
		}
	}
	return trimmer.Trim(ctx, low)
}

// sweep removes the records and logs of shapes that ended longer ago than the
// retention, so that their readers have had time to be told.
func (s *session) sweep(ctx context.Context) error {
	var ids []string
	err := s.OnMain(ctx, func(context.Context) error {
		for id, at := range s.Ended {
			if s.first() && time.Since(at) >= s.c.cfg.Retention {
				ids = append(ids, id)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		rec, err := s.Shapes.Get(ctx, id)
		if err != nil || rec.State != control.StateEnded || time.Since(rec.Changed) < s.c.cfg.Retention {
			continue
		}
		if err := s.Shapes.Delete(ctx, rec); err != nil {
			return err
		}
	}
	return s.sweepLogs(ctx)
}

// sweepTombstones removes what is left of the records of shapes and of prepared tables that were removed.
func (s *session) sweepTombstones(ctx context.Context) {
	first := false
	err := s.OnMain(ctx, func(context.Context) error { first = s.first(); return nil })
	if err != nil || !first {
		return
	}
	for _, bucket := range []string{s.c.cfg.Source.ShapeBucket(), s.c.cfg.Source.RelationBucket()} {
		n, err := registry.SweepTombstones(ctx, s.JS, bucket)
		switch {
		case err != nil && ctx.Err() == nil:
			s.Log.WarnContext(ctx, "markers of removed records not swept", slog.String("bucket", bucket), slog.Any("error", err))
		case n > 0:
			s.Log.InfoContext(ctx, "markers of records swept that were removed long ago", slog.String("bucket", bucket), slog.Int("markers", n))
		}
	}
}

func (s *session) sweepLogs(ctx context.Context) error {
	var ours []*live.Partition
	known := map[string]bool{}
	err := s.OnMain(ctx, func(context.Context) error {
		for _, r := range s.Records {
			known[r.Handle] = true
		}
		for _, p := range s.Parts {
			if p.Phase == live.Up {
				ours = append(ours, p)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range ours {
		if err := p.Sweep(ctx, s.c.cfg.Retention, func(handle string) bool { return known[handle] }); err != nil {
			return err
		}
	}
	return nil
}

// sweepInner removes the inner shapes that nobody needs any more. They are left
// alone for a while: the shape for which one was made may be about to come.
func (s *session) sweepInner(ctx context.Context) error {
	var ids []string
	err := s.OnMain(ctx, func(context.Context) error {
		for id, r := range s.Records {
			if r.Internal && len(s.DependsOn[r.Handle]) == 0 && time.Since(r.Changed) > s.c.cfg.InnerGrace {
				ids = append(ids, id)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, err := s.Shapes.Change(ctx, id, func(r *registry.Shape) bool {
			if !r.Internal || !r.Alive() || time.Since(r.Changed) <= s.c.cfg.InnerGrace { // wanted meanwhile
				return false
			}
			r.State = control.StateDeleting
			return true
		})
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			return err
		}
	}
	return nil
}
