package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/shapebus/shapebus/e2e/proc"
)

// softStop is how long a process may take to end after SIGTERM.
const softStop = 20 * time.Second

// process is a process that the bench has started.
type process struct {
	*proc.Process

	metrics string // address of its /metrics; "" if it has none
}

// start starts a process, whose log is a file. It must not end by itself if lasting.
func (l *lab) start(o proc.Options, lasting bool) (*process, error) {
	l.started++
	o.LogFile = filepath.Join(l.dir, fmt.Sprintf("%d-%s.log", l.started, o.Name))
	if lasting {
		o.OnEnd = l.failed
	}
	started, err := proc.Start(o)
	if err != nil {
		return nil, err
	}
	p := &process{Process: started}
	l.procs = append(l.procs, p)
	return p, nil
}

// failed ends the bench because a process has ended that should run.
func (l *lab) failed(p *proc.Process) {
	l.fail(fmt.Errorf("%s has ended and was not asked to (%s); its last words:\n%s", p.Name, p.State(), p.Log.Tail()))
}

// stop ends a process in an orderly way, or by force if that takes too long. One that has ended is fine.
func (p *process) stop() {
	_ = p.End(syscall.SIGTERM, softStop) // that it took force does not matter to a measurement
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
