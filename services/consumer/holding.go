package consumer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/ownership"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// Partitions come to the session while it runs, as those do that could not be written for a while, and they leave it
// as those do that are lost: but with a checkpoint, behind which the next holder goes on.

// errNothingHeld ends a session that holds no partition any more.
var errNothingHeld = errors.New("this process holds no partition")

// errHandedOver ends the writing of a partition that this process gives away.
var errHandedOver = errors.New("another process goes on with the partition")

// follow takes partitions in that this process is given, and lets go of those that it must give.
func (s *session) follow(ctx context.Context) error {
	for {
		held, changed := s.grants.now()
		left := 0
		err := s.OnMain(ctx, func(ctx context.Context) error {
			for _, p := range s.Parts {
				h, ours := held[p.N]
				switch {
				case ours && !p.Mine() && s.grants.use(p.N):
					s.gain(ctx, p, h)
				case !ours && p.Mine():
					s.letGo(ctx, p)
				}
				if p.Mine() {
					left++
				}
			}
			return nil
		})
		if err != nil {
			return service.IgnoreOver(ctx, err)
		}
		if left == 0 {
			return errNothingHeld
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// gain begins to take a partition in. Runs on the main loop.
func (s *session) gain(ctx context.Context, p *live.Partition, h ownership.Held) {
	s.held[p.N] = h
	p.Turn++
	p.Phase, p.Why, p.Since = live.Down, nil, time.Now()
	p.Pause.Reset()
	s.purge(ctx, p)
	turn := p.Turn
	s.Tasks.Go(func() error { return s.bringBack(ctx, p, turn, true) })
}

// purge sees to it that a partition's old checkpoints are removed, once for the session. Runs on the main loop.
func (s *session) purge(ctx context.Context, p *live.Partition) {
	if s.purging[p.N] {
		return
	}
	s.purging[p.N] = true
	s.Tasks.Go(func() error { return p.PurgeCheckpoints(ctx, s.Log) })
}

// leaveTime bounds how long what is on its way is waited for when a partition is given away.
const leaveTime = time.Second

// letGo gives a partition away. Its shapes stay with the main loop until what they wrote is stored. Runs on the main loop.
func (s *session) letGo(ctx context.Context, p *live.Partition) {
	if s.leaving[p.N] {
		return
	}
	s.leaving[p.N] = true
	writer := p.Writer.Load()
	if p.Phase == live.Up {
		s.CheckpointOf(ctx, p)
	}
	s.Tasks.Go(func() error {
		if writer != nil {
			flushing, cancel := context.WithTimeout(ctx, leaveTime)
			if err := writer.Flush(flushing); err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "not all is stored that was written to a partition; who goes on with it reads some of the change log again", slog.Int("partition", p.N), slog.Any("error", err))
			}
			cancel()
		}
		return service.IgnoreOver(ctx, s.OnMain(ctx, func(ctx context.Context) error {
			shapes := s.GiveAway(ctx, p, errHandedOver)
			delete(s.leaving, p.N)
			delete(s.held, p.N)
			s.grants.release(p.N)
			s.tellDown(ctx)
			s.Log.InfoContext(ctx, "partition given away", slog.Int("partition", p.N), slog.Int("shapes", shapes))
			return nil
		}))
	})
}

// first reports whether this process does what one process has to do for all. Runs on the main loop.
func (s *session) first() bool { return s.Parts[0].Mine() }
