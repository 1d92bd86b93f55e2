package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Build makes the binary once for all tests of a test binary, with the race detector if that has it.
type Build struct {
	once sync.Once
	dir  string
	err  error
}

// Binary is the binary's file.
func (b *Build) Binary(tb testing.TB) string {
	tb.Helper()
	b.once.Do(func() { b.err = b.make() })
	if b.err != nil {
		tb.Fatal(b.err)
	}
	return filepath.Join(b.dir, "shapebus")
}

func (b *Build) make() (err error) {
	if b.dir, err = os.MkdirTemp("", "shapebus-built-"); err != nil {
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

// Remove removes the binary.
func (b *Build) Remove() {
	if b.dir != "" {
		_ = os.RemoveAll(b.dir) // it is in the system's temporary directory
	}
}
