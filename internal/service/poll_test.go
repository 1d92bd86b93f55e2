package service

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestPollSlowsDown(t *testing.T) {
	var p Poll
	var took []time.Duration
	for !p.Slow() {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = append(took, p.last)
	}
	if len(took) != 7 || took[0] != firstPoll || took[6] != 64*time.Millisecond {
		t.Errorf("the pauses are %v", took)
	}
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if err := p.Wait(ctx); !errors.Is(err, why) || p.last != lastPoll {
		t.Errorf("%v, pause %s", err, p.last)
	}
}
