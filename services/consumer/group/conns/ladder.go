package conns

import (
	"context"
	"slices"
	"sync"
)

// ladder bounds the snapshots that are open at once, so that whoever holds one
// goes on in the end.
//
// A shape with subqueries holds its unit's snapshot while it waits for the
// verdicts on its inner shapes, and these need snapshots of their own when they have
// subqueries themselves. Were all snapshots alike, the deeper shapes could
// hold all of them and wait for ever. So one is kept for each depth of nesting that
// nobody deeper gets: of n snapshots, those at depth d or deeper have at most
// n-d+1. A shape waits for less deep ones only, so the least deep holder waits
// for nobody who needs a snapshot, and the next less deep always finds one.
//
// Safe for concurrent use.
type ladder struct {
	mu      sync.Mutex
	left    []int     // by depth-1: how many more may be held at that depth or deeper
	waiting []*inLine // who came first is first
}

// inLine waits for a snapshot.
type inLine struct {
	depth int
	there chan struct{} // closed when it has it
}

// newLadder makes a ladder of n snapshots, for depths up to n.
func newLadder(n int) *ladder {
	l := &ladder{}
	for d := range n {
		l.left = append(l.left, n-d)
	}
	return l
}

// take waits for a snapshot of a shape of some depth, 1 or more. Whoever came
// first is first, but among those who may have one: many deep shapes do not
// make others wait. give returns it; it may be called more than once.
func (l *ladder) take(ctx context.Context, depth int) (give func(), err error) {
	c := &inLine{depth: min(depth, len(l.left)), there: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, c)
	l.serve()
	l.mu.Unlock()
	give = sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.move(c.depth, 1)
		l.serve()
	})
	select {
	case <-c.there:
		return give, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting, c)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 { // it came at the same moment
		give()
	}
	return nil, context.Cause(ctx)
}

// serve gives snapshots to those who may have them. Called with mu held.
func (l *ladder) serve() {
	l.waiting = slices.DeleteFunc(l.waiting, func(c *inLine) bool {
		if slices.Contains(l.left[:c.depth], 0) {
			return false
		}
		l.move(c.depth, -1)
		close(c.there)
		return true
	})
}

// move counts a snapshot at a depth. Called with mu held.
func (l *ladder) move(depth, by int) {
	for d := range depth {
		l.left[d] += by
	}
}
