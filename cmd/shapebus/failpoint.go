package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/shapebus/shapebus/internal/failpoint"
)

// failpointVariable makes a service kill itself at a named point, for crash
// tests: "<name>" or "<name>:<count>", which lets count-1 passes go by.
const failpointVariable = "SHAPEBUS_FAILPOINT"

// dieAt returns the function to call at failpoints, nil when no test asks for a crash.
func dieAt(of failpoint.Service, setting string, stderr *os.File) (func(failpoint.Point), error) {
	if setting == "" {
		return nil, nil //nolint:nilnil // nil is the useful answer: no failpoint, no call
	}
	death, err := failpoint.ParseDeath(of, setting)
	if err != nil {
		return nil, &usageError{text: fmt.Sprintf("%s: %v", failpointVariable, err)}
	}
	var passes atomic.Int64
	message := []byte("failpoint " + death.Point.String() + "\n")
	return func(p failpoint.Point) {
		if p != death.Point || passes.Add(1) != death.Count {
			return
		}
		// One write, then SIGKILL: nothing is flushed, closed or told to anybody, as in a real crash.
		_, _ = stderr.Write(message)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}, nil
}
