package consumer

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/ownership"
)

// grants are the partitions that this process holds, as package ownership says, and those that the session uses: what
// it uses is given back only when it has let go of it. Safe for concurrent use.
type grants struct {
	mu      sync.Mutex
	held    map[int]ownership.Held
	used    map[int]bool
	changed chan struct{} // closed and replaced when held or used changes
}

func newGrants() *grants {
	return &grants{held: map[int]ownership.Held{}, used: map[int]bool{}, changed: make(chan struct{})}
}

// set changes something, and wakes everybody who waits for a change.
func (g *grants) set(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	close(g.changed)
	g.changed = make(chan struct{})
}

// work holds a partition until ctx ends and no session uses it any more.
func (g *grants) work(ctx context.Context, h ownership.Held) {
	g.set(func() { g.held[h.Partition] = h })
	<-ctx.Done()
	g.set(func() { delete(g.held, h.Partition) })
	for {
		g.mu.Lock()
		used, changed := g.used[h.Partition], g.changed
		g.mu.Unlock()
		if !used {
			return
		}
		<-changed
	}
}

// now returns the partitions that are held, and what is closed when that changes.
func (g *grants) now() (held map[int]ownership.Held, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.held), g.changed
}

// use begins to use a partition. It reports false if it is not held any more.
func (g *grants) use(p int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, held := g.held[p]; !held {
		return false
	}
	g.used[p] = true
	return true
}

// release is told that nobody uses a partition any more.
func (g *grants) release(p int) { g.set(func() { delete(g.used, p) }) }

// releaseAll is told that the session is over.
func (g *grants) releaseAll() { g.set(func() { clear(g.used) }) }

// together is how long a session that begins waits for more partitions: it takes all in at once what it begins with.
const together = 50 * time.Millisecond

// first waits until there are partitions and no more come at once. None says that ctx ended.
func (g *grants) first(ctx context.Context) map[int]ownership.Held {
	for {
		held, changed := g.now()
		var ready <-chan time.Time
		if len(held) > 0 {
			ready = time.After(together)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-ready:
			return held
		}
	}
}
