package materializer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
)

// lowest is the lowest floor of a source's partitions in a history, read once for all partitions that ask at about the same
// time. An older one of the same history is a lower one, so it does no harm. Safe for concurrent use.
type lowest struct {
	mu      sync.Mutex
	at      time.Time // when it was read; zero before
	lsn     change.LSN
	history string
}

// get returns what was read within an age, or reads.
func (l *lowest) get(ctx context.Context, age time.Duration, history string, read func(context.Context, string) (change.LSN, error)) (change.LSN, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() && l.history == history && time.Since(l.at) < age {
		return l.lsn, nil
	}
	lsn, err := read(ctx, history)
	if err != nil {
		return 0, err
	}
	l.at, l.lsn, l.history = time.Now(), lsn, history
	return lsn, nil
}

// lowestFloor is the LSN that every shape of the source has behind it, as far as
// the consumer's checkpoints of a history say: 0 while one is missing.
func (s *session) lowestFloor(ctx context.Context, history string) (change.LSN, error) {
	rec, err := s.shapes.Source(ctx)
	if errors.Is(err, registry.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	lowest := ^change.LSN(0)
	for p := range rec.Partitions {
		c, ok, err := registry.ReadCheckpoint(ctx, s.js, s.source, p, history)
		if err != nil || !ok {
			return 0, err
		}
		lowest = min(lowest, change.LSN(c.FloorLSN))
	}
	return lowest, nil
}
