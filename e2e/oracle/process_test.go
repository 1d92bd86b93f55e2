package oracle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// process is a service in a process of its own, to be killed.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *output
	done chan struct{} // closed when it is gone
}

func spawn(tb testing.TB, name string, env []string, path string, args ...string) *process {
	tb.Helper()
	p := &process{name: name, log: &output{}, done: make(chan struct{})}
	p.cmd = exec.CommandContext(tb.Context(), path, args...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = env, p.log, p.log, childAttr()
	p.cmd.Cancel = func() error { return nil } // its end is seen to below
	started := make(chan error)
	go func() {
		// A child is told of the end of the thread that made it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			defer close(p.done)
			_ = p.cmd.Wait() // how it ended is in its state
		}
	}()
	if err := <-started; err != nil {
		tb.Fatalf("start %s: %v", name, err)
	}
	tb.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if !tb.Failed() {
			return
		}
		name := filepath.Join(os.TempDir(), fmt.Sprintf("oracle-%d-%s.log", p.cmd.Process.Pid, p.name))
		if err := os.WriteFile(name, []byte(p.log.String()), 0o600); err != nil {
			tb.Error(err)
		}
		tb.Logf("the log of %s (process %d, %s) is %s", p.name, p.cmd.Process.Pid, p.cmd.ProcessState, name)
	})
	return p
}

// end sends a signal and waits until the process is gone.
func (p *process) end(sig os.Signal) {
	if p == nil || p.gone() {
		return
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return
	}
	<-p.done
}

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// killed reports whether SIGKILL ended it: a test's, or its own at a failpoint.
func (p *process) killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// output keeps what a process wrote. Safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// tail is the end of it.
func (o *output) tail() string {
	const last = 60
	lines := strings.Split(o.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-last):], "\n")
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
	if other := os.Getenv(binaryEnv); other != "" {
		return other
	}
	b.once.Do(func() { b.err = b.make() })
	if b.err != nil {
		tb.Fatal(b.err)
	}
	return filepath.Join(b.dir, "shapebus")
}

func (b *build) make() (err error) {
	if b.dir, err = os.MkdirTemp("", "shapebus-oracle-"); err != nil {
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
