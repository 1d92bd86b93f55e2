package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/tempdir"
)

// How long an orderly and then an immediate shutdown may take before the next stronger signal.
const (
	fastStop      = 5 * time.Second
	immediateStop = 5 * time.Second
)

// cluster is the engine that runs local binaries on a data directory.
type cluster struct {
	bin  string
	dir  string
	ours *tempdir.Dir // dir, if it was made here and goes with the server
	args []string
	run  account
	log  *tail
	proc *process // the last one started, nil before
}

func newCluster(ctx context.Context, bin string, opts Options) (*cluster, error) {
	run, err := serverAccount()
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, dir: opts.Dir, run: run, log: &tail{next: opts.Log}}
	c.args = append([]string{"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="}, opts.serverArgs()...)
	// Shared memory for parallel queries goes into the data directory, so that a killed server leaves none in /dev/shm.
	c.args = append(c.args, "-c", "dynamic_shared_memory_type=mmap")
	if err := c.makeDir(); err != nil {
		return nil, err
	}
	if err := c.initdb(ctx); err != nil {
		return nil, errors.Join(err, c.remove())
	}
	return c, nil
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *cluster) makeDir() error {
	var err error
	if c.dir == "" {
		err = c.makeTempDir()
	} else if c.dir, err = filepath.Abs(c.dir); err == nil {
		err = os.MkdirAll(c.dir, 0o755)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make the server's directory: %w", err), c.remove())
	}
	return nil
}

func (c *cluster) makeTempDir() error {
	ours, err := tempdir.New("shapebus-pg-")
	if err != nil {
		return err
	}
	c.ours, c.dir = ours, ours.Path()
	return os.Chmod(c.dir, 0o755) // the server may run as another user than this one
}

// initdb makes the data directory unless there is one already. It is made under another name, because initdb may be killed at
// any time, and what it leaves then looks like a data directory.
func (c *cluster) initdb(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(c.data(), "PG_VERSION")); err == nil {
		return nil
	}
	making := c.data() + ".unfinished"
	if err := c.clear(making); err != nil {
		return fmt.Errorf("make the server's data directory: %w", err)
	}
	locale := "C.UTF-8"
	if runtime.GOOS != "linux" {
		locale = "C" // the only one that every system has
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "initdb"), "-D", making, "-U", "postgres", "-A", "trust",
		"-E", "UTF8", "--locale="+locale, "--no-sync", "--no-instructions")
	c.prepare(cmd, making)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s for %s (%w) said:\n%s", cmd.Path, c.run, err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(making, c.data()); err != nil {
		return fmt.Errorf("give the server's data directory its name: %w", err)
	}
	return nil
}

// clear makes dir an empty directory of the server's account, and removes an empty one that is where the data goes: a name is
// given to a directory only if it is free.
func (c *cluster) clear(dir string) error {
	if err := os.Remove(c.data()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is something else than a data directory: %w; move it away or use another directory", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return c.run.own(dir)
}

// prepare sets what initdb and postgres have in common: account, directory, and an environment in which neither PGDATA and
// the like nor the user's language change what they do.
func (c *cluster) prepare(cmd *exec.Cmd, dir string) {
	cmd.Dir = dir
	cmd.SysProcAttr = c.run.sysProcAttr()
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "TZ=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
}

func (c *cluster) start(_ context.Context, port int) error {
	// A killed server leaves its lock file. Postgres takes no notice of it, unless the process id in it is in use again.
	// Only a start that follows a finished process of ours gets here with one; somebody else's lock file is respected.
	if c.proc != nil {
		if err := os.Remove(filepath.Join(c.data(), "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the lock file of the server that was killed: %w", err)
		}
	}
	args := append([]string{"-D", c.data(), "-p", strconv.Itoa(port)}, c.args...)
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), args...) //nolint:noctx // ctx bounds the start, not the server's life
	c.prepare(cmd, c.data())
	cmd.Stdout, cmd.Stderr = c.log, c.log
	if c.ours != nil {
		cmd.ExtraFiles = []*os.File{c.ours.File()} // the directory is in use while the server runs, whatever becomes of us
	}
	proc, err := startProcess(cmd)
	if err != nil {
		return fmt.Errorf("run %s for %s: %w", cmd.Path, c.run, err)
	}
	c.proc = proc
	return nil
}

func (c *cluster) exited() <-chan struct{} { return c.proc.done }

func (c *cluster) output() string { return c.log.String() }

func (c *cluster) pid() int {
	if c.proc == nil || c.proc.ended() {
		return 0
	}
	return c.proc.pid
}

func (c *cluster) stop(ctx context.Context) error {
	if c.pid() == 0 {
		return nil
	}
	if c.proc.signal(sigFast) == nil && c.proc.wait(ctx, fastStop) {
		return nil
	}
	// Without ctx: it may have ended, and an immediate shutdown still beats SIGKILL, which leaves shared memory behind.
	if c.proc.signal(sigImmediate) == nil && c.proc.wait(context.WithoutCancel(ctx), immediateStop) {
		return nil
	}
	return c.kill()
}

func (c *cluster) kill() error {
	if c.pid() == 0 {
		return nil
	}
	return c.proc.killTree()
}

func (c *cluster) remove() error {
	if c.ours == nil {
		return nil
	}
	return c.ours.Remove()
}
