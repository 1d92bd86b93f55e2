package consumer

import (
	"context"
	"log/slog"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
)

// reasonDiscarded ends shapes that the change log left behind.
const reasonDiscarded = "the change log discarded changes that this shape had not read yet; a larger --change-max-bytes keeps them longer"

// openChanges reads the change log behind a place, from a sequence on, with so many bytes in advance.
func (s *session) openChanges(ctx context.Context, at stream.Place, seq uint64, ahead int) (*stream.Changes, error) {
	return stream.OpenChanges(ctx, s.js, s.changes, s.epoch, at, seq, ahead)
}

// seek finds where reading begins for those who have everything below lsn.
func (s *session) seek(ctx context.Context, lsn change.LSN, hint uint64) (uint64, error) {
	return stream.Seek(ctx, s.changes, lsn, hint)
}

// readChanges feeds the main loop. It fails when the change log has been
// replaced or has gone back: nothing that this session knows of sequences holds then.
func (s *session) readChanges(ctx context.Context, start place, messages chan<- stream.Change) error {
	r, err := s.openChanges(ctx, stream.Place{LSN: max(start.lsn, 1) - 1}, start.seq, stream.ReadAhead)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:contextcheck // it has to work after ctx has ended
	for {
		m, err := r.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case messages <- m:
		case <-ctx.Done():
			return nil
		}
	}
}

// discarded ends the live shapes that needed what the main loop has lost: all that
// lay between its place and m. Those that have it already, from before a restart, go on.
func (s *session) discarded(ctx context.Context, m *stream.Change) error {
	s.open = openTxn{}
	s.recent.clear()
	ended := 0
	for _, f := range s.followers() {
		if max(f.has(), m.From.Whole()) >= m.Lost || f.ended != "" {
			continue
		}
		ended++
		if err := s.endLive(ctx, f, reasonDiscarded); err != nil {
			return err
		}
	}
	s.log.WarnContext(ctx, "the change log has discarded changes that were not read; shapes that needed them end", slog.Int("shapes", ended),
		slog.String("from_lsn", m.From.LSN.String()), slog.String("to_lsn", m.Lost.String()))
	// Nobody who is left looks back, and what begins now begins behind it.
	behind := place{m.Lost + 1, m.First}
	if s.again != nil && s.again.lsn < behind.lsn {
		s.again = &behind
	}
	if s.applied.lsn < m.Lost {
		s.applied = place{m.Lost, m.First - 1}
	}
	return nil
}

// has is an LSN up to which everything is in the shape's log, as far as the
// log itself and the last checkpoint tell: a log is written in the order of the change log.
func (s *follower) has() change.LSN { return max(s.after, s.tail.Committed.LSN) }
