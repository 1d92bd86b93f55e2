package health

import (
	"sync"
	"sync/atomic"
	"time"
)

// Loops are the main loops of a process. The zero value is ready. Safe for concurrent use.
type Loops struct {
	mu      sync.Mutex
	running map[*Loop]struct{}
}

// Loop is a main loop that runs.
type Loop struct {
	all    *Loops
	turned atomic.Int64 // Unix nanoseconds
}

// Begin notes a main loop that begins to run; End must follow.
func (l *Loops) Begin() *Loop {
	one := &Loop{all: l}
	one.Turn()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		l.running = map[*Loop]struct{}{}
	}
	l.running[one] = struct{}{}
	return one
}

// Turn notes that the loop begins another turn. It is cheap.
func (l *Loop) Turn() { l.turned.Store(time.Now().UnixNano()) }

// End notes that the loop has ended.
func (l *Loop) End() {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	delete(l.all.running, l)
}

// Turned is when the loop turned that has not for the longest time; zero if none runs.
func (l *Loops) Turned() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first int64
	for one := range l.running {
		if at := one.turned.Load(); first == 0 || at < first {
			first = at
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return time.Unix(0, first)
}
