package live

import (
	"slices"
	"sync"
)

// costlyKept is how many handles are remembered.
const costlyKept = 16

// Costly are the shapes that have ended because a change would have cost too much. Safe for concurrent use.
type Costly struct {
	mu    sync.Mutex
	count int64
	last  []string
}

// Add adds one, by its handle.
func (c *Costly) Add(handle string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if len(c.last) == costlyKept {
		c.last = slices.Delete(c.last, 0, 1)
	}
	c.last = append(c.last, handle)
}

// Get is how many there were, and the handles of the last of them.
func (c *Costly) Get() (count int64, last []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, slices.Clone(c.last)
}
