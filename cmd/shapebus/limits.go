package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Memory of a service. The collector works harder as the heap nears the limit,
// so that with stacks, code and what JetStream's client holds the process stays below 96 MiB.
const (
	serviceMemory = 80 << 20
	serviceGC     = 50 // percent of growth between collections
)

// limitMemory sets the Go runtime's memory limit and pace for a service,
// unless GOMEMLIMIT and GOGC say otherwise.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(serviceMemory)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(serviceGC)
	}
}

// raiseEvery is how often the limit follows what a service holds.
const raiseEvery = time.Second

// raiseMemory keeps the limit above what the service holds for as long as it
// lives, such as value sets and shapes, and above what is in use, until ctx ends. Without it the
// collector would work against memory that nobody can free. held may be nil.
func raiseMemory(ctx context.Context, held func() int64) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if held == nil {
		held = func() int64 { return 0 }
	}
	tick := time.NewTicker(raiseEvery)
	defer tick.Stop()
	for set := int64(serviceMemory); ; {
		if limit := memoryLimit(held(), liveMemory()); limit != set { // setting it stops the process for a moment
			debug.SetMemoryLimit(limit)
			set = limit
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// besideHeap is what a process has beside its heap, such as stacks, with room.
const besideHeap = serviceMemory / 4

// memoryLimit is the limit for a service that says what it holds, of which so much was in use when the collector looked last:
// what nobody has counted must not keep the collector at work without end, so it is left a quarter to collect.
func memoryLimit(held, live int64) int64 { return max(serviceMemory+held, live+live/4+besideHeap) }

// liveMemory is what the collector has found in use when it looked last, in bytes.
func liveMemory() int64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if live[0].Value.Kind() != metrics.KindUint64 {
		return 0 // a later Go may not tell
	}
	return int64(min(live[0].Value.Uint64(), math.MaxInt64/2))
}

// growingGC is the pace of the collector in a service that holds much, and little of it garbage.
const growingGC = 25

// paceMemory sets the pace of the collector for a service whose memory grows with what it holds, unless GOGC says otherwise.
func paceMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(growingGC)
	}
}
