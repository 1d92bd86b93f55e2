package crash

import (
	"cmp"
	"slices"
	"testing"
	"time"
)

// until polls a condition of a system that has no signal for it.
func until(tb testing.TB, what string, ok func() (bool, error)) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ok()
		if yes {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("waited %s until %s; last error: %v", patience, what, err)
		}
		select {
		case <-tick.C:
		case <-tb.Context().Done():
			tb.Fatal(tb.Context().Err())
		}
	}
}

func sortBy[T any, K cmp.Ordered](list []T, key func(T) K) {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}
