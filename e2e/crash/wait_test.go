package crash

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/proc"
)

// until polls a condition of a system that has no signal for it, less often
// the longer it takes: what it asks is work for the system.
func until(tb testing.TB, what string, ok func() (bool, error)) {
	tb.Helper()
	poll(tb, what, 100*time.Millisecond, ok)
}

// untilSoon is until for a condition that does not hold for long.
func untilSoon(tb testing.TB, what string, ok func() (bool, error)) {
	tb.Helper()
	poll(tb, what, 5*time.Millisecond, ok)
}

func poll(tb testing.TB, what string, longest time.Duration, ok func() (bool, error)) {
	tb.Helper()
	deadline := time.Now().Add(proc.Patience)
	const first = 5 * time.Millisecond
	pause := time.NewTimer(first)
	defer pause.Stop()
	for next := first; ; next = min(next+next/4, longest) {
		yes, err := ok()
		if yes {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("waited %s until %s; last error: %v", proc.Patience, what, err)
		}
		select {
		case <-pause.C:
			pause.Reset(next)
		case <-tb.Context().Done():
			tb.Fatal(tb.Context().Err())
		}
	}
}

func sortBy[T any, K cmp.Ordered](list []T, key func(T) K) {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}
