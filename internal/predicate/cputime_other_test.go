//go:build !unix

package predicate

import "time"

var processBegan = time.Now()

// cpuTime is the time of the clock, for want of better.
func cpuTime() time.Duration { return time.Since(processBegan) }
