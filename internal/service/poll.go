package service

import (
	"context"
	"time"
)

const (
	firstPoll = time.Millisecond
	lastPoll  = 100 * time.Millisecond
)

// Poll is the pauses between looks at what nobody tells of: 1 ms at first, then twice as long each time, up to 100 ms. The
// zero value is ready; it is not safe for concurrent use.
type Poll struct{ last time.Duration }

// Wait pauses. It fails with the cause if ctx ends.
func (p *Poll) Wait(ctx context.Context) error {
	p.last = min(max(2*p.last, firstPoll), lastPoll)
	if !WaitFor(ctx, p.last) {
		return context.Cause(ctx)
	}
	return nil
}

// Slow reports whether the next pause is as long as they get.
func (p *Poll) Slow() bool { return 2*p.last >= lastPoll }
