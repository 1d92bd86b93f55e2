package health

import (
	"sync/atomic"
	"time"
)

// Clock notes when something happened last. The zero value says never. Safe for concurrent use.
type Clock struct{ at atomic.Int64 } // Unix nanoseconds

// Now notes that it happens.
func (c *Clock) Now() { c.at.Store(time.Now().UnixNano()) }

// Last is when it happened; zero if it never did.
func (c *Clock) Last() time.Time {
	if at := c.at.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Age is how long ago something happened, in seconds; -1 if it never did.
func Age(at time.Time) float64 {
	if at.IsZero() {
		return -1
	}
	return time.Since(at).Seconds()
}
