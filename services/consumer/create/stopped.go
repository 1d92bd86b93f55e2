package create

import (
	"context"
	"sync/atomic"
)

// whileAny is ctx until all members are stopped.
func whileAny(ctx context.Context, members []*Parked) (context.Context, context.CancelFunc) {
	return untilStopped(ctx, members, len(members))
}

// whileAll is ctx until one of the members is stopped.
func whileAll(ctx context.Context, members []*Parked) (context.Context, context.CancelFunc) {
	return untilStopped(ctx, members, 1)
}

// untilStopped is ctx until so many of the members are stopped.
func untilStopped(ctx context.Context, members []*Parked, many int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	var left atomic.Int64
	left.Store(int64(many))
	stops := make([]func() bool, 0, len(members))
	for _, p := range members {
		stops = append(stops, context.AfterFunc(p.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
