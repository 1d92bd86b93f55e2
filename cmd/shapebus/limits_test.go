package main

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestTheMemoryLimitIsAboveWhatIsInUse(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name             string
		held, live, want int64
	}{
		{"at the start", 0, 4 * mib, 80 * mib},
		{"with what is held and counted", 100 * mib, 110 * mib, 180 * mib},
		{"with what nobody counts", 0, 120 * mib, 170 * mib},
		{"with both", 10 * mib, 200 * mib, 270 * mib},
	} {
		if got := memoryLimit(tt.held, tt.live); got != tt.want {
			t.Errorf("%s: %d MiB, want %d", tt.name, got/mib, tt.want/mib)
		}
	}
}

// What is in use without being counted leaves the collector room.
func TestTheMemoryLimitFollowsWhatIsInUse(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "")
	const size = 150 << 20
	kept := make([]byte, size)
	runtime.GC()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		raiseMemory(ctx, nil)
	}()
	for limit, deadline := int64(math.MaxInt64), time.Now().Add(time.Minute); limit < size+size/4 || limit > 2*size; limit = debug.SetMemoryLimit(-1) {
		if time.Now().After(deadline) {
			t.Fatalf("the limit is %d MiB with %d MiB in use", limit>>20, size>>20)
		}
		runtime.Gosched()
	}
	stop()
	<-ended
	runtime.KeepAlive(kept)
}
