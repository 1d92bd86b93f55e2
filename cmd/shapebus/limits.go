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
