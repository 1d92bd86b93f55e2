package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const dockerImage = "postgres:17"

// dockerPatience bounds a docker command whose caller has no context.
const dockerPatience = 30 * time.Second

// container is the engine that runs the official image. Its log stays in Docker; the data live and go with the container.
type container struct {
	name    string
	opts    Options
	created bool
	done    chan struct{} // closed when the container has ended
}

func dockerAnswers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "info").Run() == nil
}

func newContainer(opts Options) *container {
	return &container{name: "shapebus-pg-" + strconv.FormatUint(rand.Uint64(), 36), opts: opts}
}

// runArgs makes and starts the container. The server listens on all addresses inside it, on loopback outside.
func (c *container) runArgs(port int) []string {
	args := []string{
		"run", "--detach", "--name", c.name, "--label", "shapebus.pgtemp=1",
		"--publish", "127.0.0.1:" + strconv.Itoa(port) + ":5432",
		"--env", "POSTGRES_HOST_AUTH_METHOD=trust", "--env", "POSTGRES_INITDB_ARGS=--locale=C.UTF-8 --no-sync",
		dockerImage,
	}
	return append(args, c.opts.serverArgs()...)
}

func (c *container) start(ctx context.Context, port int) error {
	args := c.runArgs(port)
	if c.created {
		args = []string{"start", c.name}
	}
	if _, err := docker(ctx, args...); err != nil {
		// A container that was made but could not take the port would keep that port for ever.
		return errors.Join(err, c.removeUnstarted()) //nolint:contextcheck // ctx may be what ended the start
	}
	c.created = true
	done := make(chan struct{})
	c.done = done
	go func() {
		defer close(done)
		// It ends with the container, also when that is removed. If Docker itself goes away, so does the server.
		_ = exec.Command("docker", "wait", c.name).Run() //nolint:noctx // see above
	}()
	return nil
}

func (c *container) removeUnstarted() error {
	if c.created {
		return nil
	}
	c.created = true
	err := c.remove()
	c.created = false
	return err
}

func (c *container) exited() <-chan struct{} { return c.done }

func (c *container) output() string {
	out, err := dockerNow("logs", "--tail", "20", c.name)
	if err != nil {
		return err.Error()
	}
	return out
}

func (c *container) pid() int {
	if !c.created {
		return 0
	}
	out, err := dockerNow("inspect", "--format", "{{.State.Pid}}", c.name)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(out)
	if err != nil {
		return 0
	}
	return pid
}

func (c *container) stop(ctx context.Context) error {
	if c.pid() == 0 { //nolint:contextcheck // a container must be stopped even when ctx has ended
		return nil
	}
	// The image's stop signal is the fast shutdown; Docker itself goes on to SIGKILL.
	_, err := docker(context.WithoutCancel(ctx), "stop", "--time", strconv.Itoa(int(fastStop.Seconds())), c.name)
	return err
}

func (c *container) kill() error {
	if c.pid() == 0 {
		return nil
	}
	_, err := dockerNow("kill", c.name)
	if err == nil {
		<-c.done
	}
	return err
}

func (c *container) remove() error {
	if !c.created {
		return nil
	}
	_, err := dockerNow("rm", "--force", "--volumes", c.name)
	return err
}

func dockerNow(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dockerPatience)
	defer cancel()
	return docker(ctx, args...)
}

func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("docker %s (%w) said: %s", args[0], err, text)
	}
	return text, nil
}
