package shapes

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

func largeShape() *Shape {
	return &Shape{keeper: &Keeper{room: newRoom(1 << 20), cache: newCache(1 << 20)}}
}

// TestWhoWaitsForAnotherReaderOfRowsKeepsNobodyElseWaiting, and nothing of it is left when it gives up.
func TestWhoWaitsForAnotherReaderOfRowsKeepsNobodyElseWaiting(t *testing.T) {
	s, b := largeShape(), newBeginning("h", origin{messages: 1}, nil)
	if !b.reading.TryAcquire(1) {
		t.Fatal("it is being read")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := s.Snapshot(ctx, b, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who waits is told %v", err)
	}
	if !s.keeper.room.turns.TryAcquire(roomTurns) {
		t.Error("who waits has a turn")
	}
}

// TestWhatEndsAtTheTailIsMadeOnce for all who wait, and again when the tail has moved.
func TestWhatEndsAtTheTailIsMadeOnce(t *testing.T) {
	s, made := largeShape(), 0
	at := func(lsn change.LSN, full bool) func() (*Body, error) {
		next := protocol.Behind(change.Offset{LSN: lsn, Op: 2})
		return func() (*Body, error) {
			return s.large(t.Context(), [2]string{"k", "k" + upTo(next)}, func(context.Context) (*Body, error) {
				made++
				return &Body{Next: next, UpToDate: !full, Full: full}, nil
			})
		}
	}
	for i, c := range []struct {
		ask  func() (*Body, error)
		lsn  change.LSN
		made int
	}{{at(8, false), 8, 1}, {at(8, false), 8, 1}, {at(16, false), 16, 2}, {at(24, true), 24, 3}, {at(32, false), 24, 3}} {
		b, err := c.ask()
		if err != nil || b.Next.LSN != c.lsn || made != c.made {
			t.Errorf("answer %d: up to %v (%v), %d were made", i, b.Next, err, made)
		}
	}
}
