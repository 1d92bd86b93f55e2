package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// failpointVariable makes a service kill itself at a named point, for crash
// tests: "<name>" or "<name>:<count>", which lets count-1 passes go by.
const failpointVariable = "SHAPEBUS_FAILPOINT"

// failpoint returns the function to call at named points, nil when no test asks for a crash.
func failpoint(setting string, stderr *os.File) (func(name string), error) {
	if setting == "" {
		return nil, nil //nolint:nilnil // nil is the useful answer: no failpoint, no call
	}
	point, countText, counted := strings.Cut(setting, ":")
	count := int64(1)
	if counted {
		var err error
		if count, err = strconv.ParseInt(countText, 10, 64); err != nil || count < 1 {
			return nil, &usageError{text: fmt.Sprintf("%s=%q: want <name> or <name>:<count from 1>", failpointVariable, setting)}
		}
	}
	var passes atomic.Int64
	message := []byte("failpoint " + point + "\n")
	return func(name string) {
		if name != point || passes.Add(1) != count {
			return
		}
		// One write, then SIGKILL: nothing is flushed, closed or told to anybody, as in a real crash.
		_, _ = stderr.Write(message)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}, nil
}
