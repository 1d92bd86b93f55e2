// Package long keeps tests that take much of a machine out of `make test`: further cases of what another case shows there.
// `make test LONG=1` and `make soak` run them all.
package long

import (
	"os"
	"testing"
)

// Env is the variable of the environment with which they run, set to anything.
const Env = "E2E_LONG"

// Runs reports whether such tests run.
func Runs() bool { return os.Getenv(Env) != "" }

// Only skips a test unless such tests run.
func Only(tb testing.TB) {
	tb.Helper()
	if !Runs() {
		tb.Skip("a further case of what others show: make test LONG=1, or " + Env + "=1, runs it")
	}
}
