package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// softStop is how long a process may take to end after SIGTERM.
const softStop = 20 * time.Second

// process is a process that the bench has started.
type process struct {
	name     string
	cmd      *exec.Cmd
	log      string // file with what it writes to stderr
	metrics  string // address of its /metrics; "" if it has none
	stopping atomic.Bool

	done  chan struct{} // closed when it has ended
	ended time.Time     // valid after done
	err   error         // of Wait; valid after done
}

// start starts cmd. onEnd, if not nil, is called when it ends without having been asked to.
func (l *lab) start(name string, cmd *exec.Cmd, onEnd func(*process)) (*process, error) {
	l.started++
	p := &process{name: name, cmd: cmd, log: filepath.Join(l.dir, fmt.Sprintf("%d-%s.log", l.started, name)), done: make(chan struct{})}
	file, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stderr = file
	cmd.SysProcAttr = childAttr()
	began := make(chan error)
	go func() {
		// The child is told of the death of the thread that made it, so that thread has to last.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		began <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		p.ended = time.Now()
		close(p.done)
		if onEnd != nil && !p.stopping.Load() {
			onEnd(p)
		}
	}()
	if err := <-began; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	l.procs = append(l.procs, p)
	return p, nil
}

// failed ends the bench because a process has ended that should run.
func (l *lab) failed(p *process) {
	l.fail(fmt.Errorf("%s has ended and was not asked to (%s); its last words:\n%s", p.name, p.cmd.ProcessState, p.lastWords()))
}

// stop ends a process in an orderly way, or by force if that takes too long. One that has ended is fine.
func (p *process) stop() {
	p.stopping.Store(true)
	timer := time.NewTimer(softStop)
	defer timer.Stop()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails on one that has ended
	select {
	case <-p.done:
		return
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill() // as above
	<-p.done
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// lastWords is the end of what the process has logged.
func (p *process) lastWords() string {
	const length = 2 << 10
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-length):]))
}

// peakMemory is the most memory that a process has had resident so far, in MiB.
func peakMemory(pid int) (float64, error) { return memoryField(pid, "VmHWM") }

// residentMemory is the memory that a process has resident now, in MiB.
func residentMemory(pid int) (float64, error) { return memoryField(pid, "VmRSS") }

func memoryField(pid int, name string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return 0, fmt.Errorf("%s of process %d: %w", name, pid, err)
		}
		return kib / 1024, nil
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, name)
}

// clockTicks is the unit of /proc/<pid>/stat: USER_HZ, which is 100 a second on every Linux that Go runs on.
const clockTicks = 100

// cpuTime is the CPU time that a process has used so far, in seconds.
func cpuTime(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// "pid (name) state …"; a name may contain anything, so count from its closing parenthesis.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const user, system = 11, 12
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	u, err := strconv.ParseUint(string(fields[user]), 10, 64)
	if err != nil {
		return 0, err
	}
	s, err := strconv.ParseUint(string(fields[system]), 10, 64)
	if err != nil {
		return 0, err
	}
	return float64(u+s) / clockTicks, nil
}

// poll asks again and again until ok says yes, fails, or ctx ends. What it waits for has no signal of its own.
func poll(ctx context.Context, every time.Duration, what string, ok func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		yes, err := ok()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if yes && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
