package crash

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
)

// patience bounds every wait. Machines that run tests are slow at times.
const patience = 2 * time.Minute

// process is a child that tests kill.
type process struct {
	tb   testing.TB
	name string
	cmd  *exec.Cmd
	log  *output
	done chan struct{} // closed when it is gone
	ours bool          // a test sent the signal that ended it
}

// spawn starts a process. It is killed when the test ends, and its last lines
// are shown if the test failed.
func spawn(tb testing.TB, name string, env []string, path string, args ...string) *process {
	tb.Helper()
	p := &process{tb: tb, name: name, log: &output{}, done: make(chan struct{})}
	p.cmd = exec.CommandContext(tb.Context(), path, args...)
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = childAttr()
	// Its context ends before the test's clean-up does, which is to see to it.
	p.cmd.Cancel = func() error { return nil }
	p.cmd.WaitDelay = 0
	started := make(chan error)
	go func() {
		// A child is told of the end of the thread that made it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in its state
	}()
	if err := <-started; err != nil {
		tb.Fatalf("start %s: %v", name, err)
	}
	tb.Cleanup(func() {
		p.kill()
		if tb.Failed() {
			tb.Logf("--- the end of the log of %s (process %d, %s):\n%s", p.name, p.cmd.Process.Pid, p.cmd.ProcessState, p.log.tail())
		}
	})
	return p
}

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends it with SIGKILL and waits until it is gone.
func (p *process) kill() {
	p.end(syscall.SIGKILL)
}

// stop ends it in an orderly way.
func (p *process) stop() { p.end(syscall.SIGTERM) }

func (p *process) end(sig syscall.Signal) {
	if p == nil || p.gone() {
		return
	}
	p.ours = true
	p.signal(sig)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.signal(syscall.SIGKILL)
		<-p.done
		p.tb.Errorf("%s was still there %s after %s", p.name, patience, sig)
	}
}

func (p *process) signal(sig os.Signal) {
	if err := p.cmd.Process.Signal(sig); err != nil && !p.gone() {
		p.tb.Logf("send %s to %s: %v", sig, p.name, err)
	}
}

// diesAt waits until the process has killed itself at a failpoint. It proves
// that the fault fired: the process said so, and SIGKILL ended it, not a test.
func (p *process) diesAt(point failpoint.Point) {
	p.tb.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.tb.Fatalf("%s did not come to %s within %s", p.name, point, patience)
	}
	p.wasKilled()
	switch {
	case p.ours:
		p.tb.Fatalf("%s was ended by the test", p.name)
	case !slices.Contains(p.log.lines(), "failpoint "+point.String()):
		p.tb.Fatalf("%s was killed, but not at %s", p.name, point)
	}
	p.tb.Logf("%s (process %d) died at %s", p.name, p.cmd.Process.Pid, point)
}

// wasKilled fails the test if something other than SIGKILL ended it.
func (p *process) wasKilled() {
	p.tb.Helper()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		p.tb.Fatalf("%s ended with %s, want SIGKILL", p.name, p.cmd.ProcessState)
	}
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

func (o *output) lines() []string { return strings.Split(o.String(), "\n") }

// count is how often the text was written.
func (o *output) count(text string) int { return strings.Count(o.String(), text) }

func (o *output) tail() string {
	const last = 40
	lines := o.lines()
	return strings.Join(lines[max(0, len(lines)-last):], "\n")
}
