package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
)

// Patience bounds every wait for a process. Machines that run tests are slow at times.
const Patience = 2 * time.Minute

// Test is a process of a test, whose helpers fail the test.
type Test struct {
	*Process

	tb testing.TB
}

// Spawn starts a process. It is killed when the test ends; if the test failed, the end of its log is
// shown, and all of it is kept in a file.
func Spawn(tb testing.TB, o Options) *Test {
	tb.Helper()
	p, err := Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.End(syscall.SIGKILL, Patience); err != nil {
			tb.Error(err)
		}
		if !tb.Failed() {
			return
		}
		name := filepath.Join(os.TempDir(), fmt.Sprintf("shapebus-%s-%d.log", p.Name, p.Pid()))
		if err := os.WriteFile(name, []byte(p.Log.String()), 0o600); err != nil {
			tb.Error(err)
		}
		tb.Logf("--- the end of the log of %s (process %d, %s), which is in %s:\n%s", p.Name, p.Pid(), p.State(), name, p.Log.Tail())
	})
	return &Test{Process: p, tb: tb}
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Test) Kill() { p.end(syscall.SIGKILL) }

// Stop ends it in an orderly way.
func (p *Test) Stop() { p.end(syscall.SIGTERM) }

func (p *Test) end(sig os.Signal) {
	if p == nil {
		return
	}
	if err := p.End(sig, Patience); err != nil {
		p.tb.Error(err)
	}
}

// Signal sends a signal.
func (p *Test) Signal(sig os.Signal) {
	if err := p.Process.Signal(sig); err != nil {
		p.tb.Error(err)
	}
}

// DiesAt waits until the process has killed itself at a failpoint. It proves that the fault fired: the
// process said so, and SIGKILL ended it, not a test.
func (p *Test) DiesAt(point failpoint.Point) {
	p.tb.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-p.Done():
	case <-timer.C:
		p.tb.Fatalf("%s did not come to %s within %s", p.Name, point, Patience)
	}
	p.WasKilled()
	switch {
	case p.Told():
		p.tb.Fatalf("%s was ended by the test", p.Name)
	case !slices.Contains(p.Log.Lines(), "failpoint "+point.String()):
		p.tb.Fatalf("%s was killed, but not at %s", p.Name, point)
	}
	p.tb.Logf("%s (process %d) died at %s", p.Name, p.Pid(), point)
}

// WasKilled fails the test if something other than SIGKILL ended the process.
func (p *Test) WasKilled() {
	p.tb.Helper()
	if !p.Killed() {
		p.tb.Fatalf("%s ended with %s, want SIGKILL", p.Name, p.State())
	}
}
