//go:build !unix

package group

import "time"

var processStarted = time.Now()

// cpuUsed is the time of the clock, for want of better.
func cpuUsed() time.Duration { return time.Since(processStarted) }
