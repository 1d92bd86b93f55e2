package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is how long to wait before the next attempt: a random time around a
// value that doubles from first to most.
type backoff struct{ first, most, next time.Duration }

func newBackoff(first, most time.Duration) *backoff {
	return &backoff{first: first, most: most, next: first}
}

// reset begins with the first pause again.
func (b *backoff) reset() { b.next = b.first }

// take returns the next pause.
func (b *backoff) take() time.Duration {
	pause := b.next/2 + rand.N(b.next)
	b.next = min(2*b.next, b.most)
	return pause
}

// wait waits for the pause, or until wake (which may be nil) is closed. Its
// error is the cause of ctx's end.
func (b *backoff) wait(ctx context.Context, wake <-chan struct{}) error {
	timer := time.NewTimer(b.take())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	case <-wake:
	}
	return nil
}
