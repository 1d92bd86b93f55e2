package main

import (
	"os"
	"runtime/debug"
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

// growingGC is the pace of the collector in a service that holds much, and little of it garbage.
const growingGC = 25

// paceMemory sets the pace of the collector for a service whose memory grows with what it holds, unless GOGC says otherwise.
func paceMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(growingGC)
	}
}
