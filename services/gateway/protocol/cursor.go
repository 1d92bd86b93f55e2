package protocol

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// cursorEpoch is where cursors begin to count.
var cursorEpoch = time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)

// cursorSpread is how far behind the request's own the cursor is drawn when that is not in the past.
const cursorSpread = 3600

// Cursor is what a live answer tells the client to send with its next request. Requests that wait
// together have the same one, so that a cache can collapse them, and it always differs from the request's,
// so that a cached answer never leads back to itself.
func Cursor(now time.Time, wait time.Duration, request string) string {
	step := int64(wait / time.Second)
	if step <= 0 {
		return "0"
	}
	elapsed := int64(now.Sub(cursorEpoch) / time.Second)
	next := (elapsed + step - 1) / step * step
	if asked, err := strconv.ParseInt(request, 10, 64); err == nil && next <= asked && asked < 1<<62 {
		next = asked + 1 + rand.Int64N(cursorSpread)
	}
	return strconv.FormatInt(next, 10)
}
