// Package crash kills what Shapebus is made of and looks at what is left. The
// services are the built binary in processes of their own, NATS is a process
// too, and Postgres a real server; each is ended with SIGKILL at named points,
// at random moments and in the middle of large transactions. Afterwards every
// shape must be what its SELECT says, under the handle it had, and its log
// lawful (package logcheck): nothing lost, nothing twice, no fragment of a
// transaction without the rest.
//
// Every test draws from a seed that it prints; CRASH_SEED repeats one.
// SHAPEBUS_SOAK=10m has TestSoak kill at random for that long.
package crash

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(natsDirEnv); dir != "" {
		if err := serveNATS(dir); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error()+"\n") // nobody is left to tell
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := pgtest.Main(m)
	built.remove()
	os.Exit(code)
}

// build makes the binary once for all tests.
type build struct {
	once sync.Once
	dir  string
	err  error
}

// built is package state because a test binary is what it belongs to.
var built build

func (b *build) binary(tb testing.TB) string {
	tb.Helper()
	b.once.Do(func() { b.err = b.make() })
	if b.err != nil {
		tb.Fatal(b.err)
	}
	return filepath.Join(b.dir, "shapebus")
}

func (b *build) make() (err error) {
	if b.dir, err = os.MkdirTemp("", "shapebus-crash-"); err != nil {
		return err
	}
	args := []string{"build", "-o", b.dir}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(context.Background(), "go", append(args, "github.com/shapebus/shapebus/cmd/shapebus")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	return nil
}

func (b *build) remove() {
	if b.dir != "" {
		_ = os.RemoveAll(b.dir) // it is in the system's temporary directory
	}
}

// environment is this process's without what could change how the binary behaves.
func environment(extra ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SHAPEBUS_") && !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "NATS_") {
			env = append(env, kv)
		}
	}
	return append(env, extra...)
}
