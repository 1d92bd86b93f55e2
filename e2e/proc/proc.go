// Package proc starts what runs in processes of its own beside a test or a bench: the built binary and
// NATS servers, to be watched, stopped and killed. A process dies with the one that started it. What
// it is started with and how long anybody waits for it is the caller's decision.
package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Options say what to start.
type Options struct {
	Name string // for people
	Path string
	Args []string
	Env  []string // all of it, see Environment; nil for this process's

	Stdout  *os.File       // default: the log
	LogFile string         // where the log is written, without this process's doing; default: it is kept in memory
	OnEnd   func(*Process) // called when the process ends and was not told to by End
}

// Process is one that was started.
type Process struct {
	Name string
	Log  Log

	cmd   *exec.Cmd
	done  chan struct{}
	told  atomic.Bool
	ended time.Time // valid after done, as err is
	err   error
}

// Start starts a process.
func Start(o Options) (*Process, error) {
	p := &Process{Name: o.Name, Log: Log{file: o.LogFile}, done: make(chan struct{})}
	p.cmd = exec.Command(o.Path, o.Args...) //nolint:noctx // it is ended in order, by End
	p.cmd.Env, p.cmd.SysProcAttr = o.Env, childAttr()
	p.cmd.Stdout, p.cmd.Stderr = &p.Log, &p.Log
	if o.LogFile != "" {
		file, err := os.Create(o.LogFile)
		if err != nil {
			return nil, err
		}
		defer file.Close() // the child has its own copy
		p.cmd.Stdout, p.cmd.Stderr = nil, file
	}
	if o.Stdout != nil {
		p.cmd.Stdout = o.Stdout
	}
	started := make(chan error)
	go func() {
		// The child is told of the end of the thread that made it, so that thread has to last.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		p.ended = time.Now()
		close(p.done)
		if o.OnEnd != nil && !p.told.Load() {
			o.OnEnd(p)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Name, err)
	}
	return p, nil
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Gone reports whether the process has ended.
func (p *Process) Gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Ended says when the process ended and with which error, once it is gone.
func (p *Process) Ended() (at time.Time, err error) { return p.ended, p.err }

// State says how the process ended, once it is gone.
func (p *Process) State() string { return p.cmd.ProcessState.String() }

// Told reports whether End was called before the process was gone.
func (p *Process) Told() bool { return p.told.Load() }

// Killed reports whether SIGKILL ended the process that is gone: End's, or its own at a failpoint.
func (p *Process) Killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Signal sends a signal. One that is gone gets none.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to %s: %w", sig, p.Name, err)
	}
	return nil
}

// End sends a signal that ends the process and returns when it is gone. If that takes longer than
// limit, the process is killed, which is an error.
func (p *Process) End(sig os.Signal, limit time.Duration) error {
	if p.Gone() {
		return nil
	}
	p.told.Store(true)
	err := p.Signal(sig)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	err = errors.Join(err, fmt.Errorf("%s was still there %s after %s", p.Name, limit, sig), p.Signal(syscall.SIGKILL))
	<-p.done
	return err
}

// Environment is this process's, without what could change how the binary behaves, and with extra.
func Environment(extra ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		foreign := false
		for _, prefix := range []string{"SHAPEBUS_", "NATS_", "PG", "GOMEMLIMIT=", "GOGC="} {
			foreign = foreign || strings.HasPrefix(kv, prefix)
		}
		if !foreign {
			env = append(env, kv)
		}
	}
	return append(env, extra...)
}
