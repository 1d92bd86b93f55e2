package service

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
	// healthy is how long something must have worked for its next trouble to count as the first.
	healthy = 10 * time.Second
)

// Backoff is the pause between attempts. It doubles, and is jittered by half, so that several
// processes do not come back in step. The zero value is ready; it is not safe for concurrent use.
type Backoff struct {
	Most time.Duration // no pause is longer; default 5 s

	next time.Duration
}

// Next returns the next pause.
func (b *Backoff) Next() time.Duration {
	Default(&b.Most, mostPause)
	Default(&b.next, firstPause)
	base := min(b.next, b.Most*2/3) // the jitter adds up to half
	b.next = 2 * base
	return Jitter(base)
}

// Jitter returns d give or take half of it.
func Jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// Wait pauses, or until ctx ends. It reports whether ctx goes on.
func (b *Backoff) Wait(ctx context.Context) bool { return WaitFor(ctx, b.Next()) }

// Lasted begins with the first pause again if an attempt worked for long enough.
func (b *Backoff) Lasted(d time.Duration) {
	if d > healthy {
		b.Reset()
	}
}

// Reset begins with the first pause again.
func (b *Backoff) Reset() { b.next = 0 }

// WaitFor pauses for d, or until ctx ends. It reports whether ctx goes on.
func WaitFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
