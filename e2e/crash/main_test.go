// Package crash kills what Shapebus is made of and looks at what is left. The
// services are the built binary in processes of their own, NATS is a process
// too, and Postgres a real server; each is ended with SIGKILL at named points,
// at random moments and in the middle of large transactions. Afterwards every
// shape must be what its SELECT says, under the handle it had, and its log
// lawful (package logcheck): nothing lost, nothing twice, no fragment of a
// transaction without the rest.
//
// Every test draws from a seed that it prints; CRASH_SEED repeats one.
// NATS_SERVER=/path/to/nats-server runs that one, and so another version
// (tools/nats-matrix.sh).
// SHAPEBUS_SOAK=10m has TestSoak kill at random for that long.
package crash

import (
	"os"
	"testing"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) {
	proc.ServeNATS()
	code := pgtest.Main(m)
	built.Remove()
	os.Exit(code)
}

// built is package state because a test binary is what it belongs to.
var built proc.Build
