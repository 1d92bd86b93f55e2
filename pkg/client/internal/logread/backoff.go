package logread

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait before the next attempt: a random time around a
// value that doubles from first to most.
type Backoff struct{ first, most, next time.Duration }

// NewBackoff begins with first.
func NewBackoff(first, most time.Duration) *Backoff {
	return &Backoff{first: first, most: most, next: first}
}

// Reset begins with the first pause again.
func (b *Backoff) Reset() { b.next = b.first }

// take returns the next pause.
func (b *Backoff) take() time.Duration {
	pause := b.next/2 + rand.N(b.next)
	b.next = min(2*b.next, b.most)
	return pause
}

// Wait waits for the pause, or until wake (which may be nil) is closed. Its
// error is the cause of ctx's end.
func (b *Backoff) Wait(ctx context.Context, wake <-chan struct{}) error {
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
