//go:build unix

package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// The postmaster's names for its ways to end.
const (
	sigFast      = syscall.SIGINT  // roll back what is open, write a checkpoint, end
	sigImmediate = syscall.SIGQUIT // end now; the next start recovers
)

// drainWait bounds how long the server's last children may outlive it. They see its death at once; one in the middle of a
// long computation may not.
const drainWait = 10 * time.Second

// process is a running postmaster and what it started.
type process struct {
	pid  int
	cmd  *exec.Cmd
	done chan struct{} // closed when the postmaster and all that inherited its log are gone
}

// startProcess runs cmd in a thread that lives as long as the child: on Linux the child is told when its parent dies (see
// sysProcAttr), and there "parent" means the thread that made it. The waiting goroutine has to exist anyway.
func startProcess(cmd *exec.Cmd) (*process, error) {
	cmd.WaitDelay = drainWait
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(p.done)
		// How it ended is in its log, and whether it should have is for those who look at done to know.
		_ = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends sig to the postmaster alone. One that is gone already needs none.
func (p *process) signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to Postgres (process %d): %w", sig, p.pid, err)
	}
	return nil
}

// wait reports whether the process ended within d and before ctx.
func (p *process) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return p.ended()
}

// killTree kills the postmaster and its children. The postmaster is halted first: it starts no more children then, and those
// that end keep their process ids until it would have collected them, so no foreign process can be hit. Its process group is of
// no use here, because each child of Postgres opens a session of its own.
func (p *process) killTree() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	pids, err := children(p.pid)
	for _, pid := range pids {
		if e := syscall.Kill(pid, syscall.SIGKILL); e != nil && !errors.Is(e, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("kill a child of Postgres (process %d): %w", pid, e))
		}
	}
	err = errors.Join(err, p.signal(syscall.SIGKILL))
	<-p.done // within drainWait
	return err
}
