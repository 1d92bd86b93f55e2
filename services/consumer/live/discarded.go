package live

import (
	"context"
	"log/slog"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// ReasonDiscarded ends shapes that the change log left behind.
const ReasonDiscarded = "the change log discarded changes that this shape had not read yet; a larger --change-max-bytes keeps them longer"

// discarded ends the live shapes that needed what the main loop has lost: all that
// lay between its place and m. Those that have it already, from before a restart, go on.
func (s *Loop) discarded(ctx context.Context, m *stream.Change) error {
	s.Open = 0
	s.Recent.Clear()
	ended := 0
	for _, f := range s.followers() {
		if max(f.Has(), m.From.Whole()) >= m.Lost || f.Ended != "" {
			continue
		}
		ended++
		if err := s.endLive(ctx, f, ReasonDiscarded); err != nil {
			return err
		}
	}
	s.Log.WarnContext(ctx, "the change log has discarded changes that were not read; shapes that needed them end", slog.Int("shapes", ended),
		slog.String("from_lsn", m.From.LSN.String()), slog.String("to_lsn", m.Lost.String()))
	// Nobody who is left looks back, and what begins now begins behind it.
	behind := changelog.Place{LSN: m.Lost + 1, Seq: m.First}
	if s.Again != nil && s.Again.LSN < behind.LSN {
		s.Again = &behind
	}
	if s.Applied.LSN < m.Lost {
		s.Applied = changelog.Place{LSN: m.Lost, Seq: m.First - 1}
	}
	return nil
}
