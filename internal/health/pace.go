package health

import (
	"sync"
	"time"
)

// Pace says whether work gets on that is only seen from outside: what is done is counted, and what there is to do has a
// head that grows. The zero value is ready. Safe for concurrent use.
type Pace struct {
	mu    sync.Mutex
	done  int64
	head  uint64 // when done was seen to change
	work  bool
	moved time.Time
}

// See notes both as they are now. Without a part in the work, which active says, there is none.
func (p *Pace) See(active bool, done int64, head uint64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.work = active && done == p.done && head > p.head; !p.work {
		p.done, p.head, p.moved = done, head, now
	}
}

// Now is whether there is work that nobody has begun, and since when.
func (p *Pace) Now() (work bool, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.work, p.moved
}
