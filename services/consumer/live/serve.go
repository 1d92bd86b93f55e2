package live

import (
	"context"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/internal/stream"
)

// CloseParts ends the writing of all partitions.
func (s *Loop) CloseParts() {
	for _, p := range s.Parts {
		if l := p.Writer.Load(); l != nil {
			l.Close()
		}
	}
}

// Serve is the main loop: it takes the messages of the change log and what others have it do.
func (s *Loop) Serve(ctx context.Context, messages <-chan stream.Change) error {
	tick := time.NewTicker(s.Cfg.Checkpoint)
	defer tick.Stop()
	loop := s.Stats.Loops.Begin()
	defer loop.End()
	for {
		loop.Turn()
		select {
		case <-ctx.Done():
			return s.leave(ctx)
		case m := <-messages:
			if err := s.message(ctx, m); err != nil {
				return err
			}
		case f := <-s.Calls.Calls():
			if err := f(ctx); err != nil {
				return err
			}
		case <-tick.C:
			s.prune(ctx)
			if s.moved() {
				if err := s.Checkpoint(ctx, nil); err != nil {
					return err
				}
			}
		}
	}
}

// leave writes a last checkpoint, so that the successor has little to read again.
func (s *Loop) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if !s.moved() || s.Checkpoint(ctx, nil) != nil {
		return nil
	}
	for _, p := range s.Parts {
		if p.Phase != Up {
			continue
		}
		if err := p.Writer.Load().Flush(ctx); err != nil {
			s.Log.WarnContext(ctx, "last checkpoint not stored; the next start reads some of the change log again", slog.Any("error", err))
			return nil
		}
	}
	return nil
}

// OnMain runs f on the main loop and waits for it. When ctx or the session
// ends before f has begun, it does not run.
func (s *Loop) OnMain(ctx context.Context, f func(context.Context) error) error {
	return s.Calls.Do(ctx, f)
}
