package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// childStop is how long a part may take to end when it is asked to.
const childStop = 10 * time.Second

// child is a part of the system in a process of its own, so that its memory can be told from the others'. It runs this
// same binary.
type child struct {
	name     string
	cmd      *exec.Cmd
	log      childLog
	done     chan struct{}
	err      error // how it ended, once done is closed
	stopping atomic.Bool
}

// childOptions are what children differ in.
type childOptions struct {
	name   string
	args   []string
	env    []string
	stdout io.Writer
	// orphan: it ends by itself when its stdin does, which is when this process ends, however that does. Others are killed
	// by the system then, where it can (see childAttributes).
	orphan bool
}

// startChild starts a part. The caller stops it.
func startChild(o childOptions) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file, to run %s from it: %w", o.name, err)
	}
	c := &child{name: o.name, done: make(chan struct{})}
	c.cmd = exec.Command(self, o.args...) //nolint:noctx // it is stopped in order, not when a context ends
	c.cmd.Env = append(childEnvironment(os.Environ()), o.env...)
	c.cmd.Stdout, c.cmd.Stderr = o.stdout, &c.log
	c.cmd.SysProcAttr = childAttributes(!o.orphan)
	if o.orphan {
		// The other end is closed by Wait, or by the end of this process.
		if _, err := c.cmd.StdinPipe(); err != nil {
			return nil, fmt.Errorf("start %s: %w", o.name, err)
		}
	}
	started := make(chan error)
	go func() {
		// The system takes the death of the thread that made a child for the parent's.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			defer close(c.done)
			c.err = c.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", o.name, err)
	}
	return c, nil
}

// childEnvironment leaves out what would configure a part behind the demo's back.
func childEnvironment(environ []string) []string {
	var kept []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "SHAPEBUS_") && !strings.HasPrefix(kv, "NATS_") {
			kept = append(kept, kv)
		}
	}
	return kept
}

// failure is why a child ended that should not have; nil while it runs or is being stopped.
func (c *child) failure() error {
	select {
	case <-c.done:
	default:
		return nil
	}
	if c.stopping.Load() {
		return nil
	}
	how := "by itself"
	if c.err != nil {
		how = c.err.Error()
	}
	return fmt.Errorf("%s ended (%s); the end of its log:\n%s", c.name, how, c.log.tail())
}

// stop asks the child to end, and makes it end when it takes too long or ctx ends.
func (c *child) stop(ctx context.Context) error {
	c.stopping.Store(true)
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, childStop)
	defer cancel()
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-c.done
	return nil
}

// childLog keeps the end of what a child logs.
type childLog struct {
	mu   sync.Mutex
	text []byte
}

// logKept bounds a childLog.
const logKept = 8 << 10

// Write never fails.
func (l *childLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > 2*logKept {
		l.text = append(l.text[:0], l.text[len(l.text)-logKept:]...)
	}
	return len(p), nil
}

// tail is the last lines, or that there are none.
func (l *childLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(l.text)), "\n")
	if text := strings.Join(lines[max(0, len(lines)-10):], "\n"); text != "" {
		return text
	}
	return "(empty)"
}
