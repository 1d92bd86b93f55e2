package main

import (
	"context"
	"os"
	"runtime/debug"
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
// lives, such as value sets and shapes, until ctx ends. Without it the
// collector would work against memory that nobody can free.
func raiseMemory(ctx context.Context, held func() int64) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	tick := time.NewTicker(raiseEvery)
	defer tick.Stop()
	for {
		debug.SetMemoryLimit(serviceMemory + held())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// growingGC is the pace of the collector in a service that holds much, and little of it garbage.
const growingGC = 25

// paceMemory sets the pace of the collector for a service whose memory grows with what it holds, unless GOGC says otherwise.
func paceMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(growingGC)
	}
}
