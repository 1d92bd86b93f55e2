package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// mustInstall makes it an error that the clients cannot be run, for a machine that is meant to run them.
const mustInstall = "GATEWAY_MUST_INSTALL"

// lack ends a test for which something is not there: it is skipped, or fails where everything has to be there. why says what to do.
func lack(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv(mustInstall) != "" {
		tb.Fatalf("%s (%s is set)", why, mustInstall)
	}
	tb.Skipf("%s; with %s=1 that is an error", why, mustInstall)
}

// scripts installs the clients once for all tests. It is package state because a test binary is what it belongs to.
var scripts modules

// modules are a directory's npm packages.
type modules struct {
	once sync.Once
	err  error
}

// node returns the directory of the scripts, with their packages installed.
func node(tb testing.TB) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs Postgres; not in -short")
	}
	dir, err := filepath.Abs("js")
	if err != nil {
		tb.Fatal(err)
	}
	scripts.need(tb, dir)
	return dir
}

// need sees to it that the packages are there.
func (m *modules) need(tb testing.TB, dir string) {
	tb.Helper()
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			lack(tb, "there is no "+name+" here; install Node.js 20 or later to run the clients")
		}
	}
	m.once.Do(func() { m.err = install(dir) })
	if m.err != nil {
		lack(tb, "the clients cannot be installed, is there a network? "+m.err.Error())
	}
}

// installWithin bounds the installation.
const installWithin = 5 * time.Minute

// install installs what the lock file says, unless that is done.
func install(dir string) error {
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	stamp := filepath.Join(dir, "node_modules", ".installed")
	if have, err := os.ReadFile(stamp); err == nil && bytes.Equal(have, lock) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), installWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-timeout=30000")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return os.WriteFile(stamp, lock, 0o600)
}

// follower is a Node process that follows shapes.
type follower struct {
	tb  testing.TB
	in  io.WriteCloser
	out *bufio.Reader
}

// held is what a client has of a shape.
type held struct {
	Rows      []map[string]any `json:"rows"`
	UpToDate  bool             `json:"upToDate"`
	Error     string           `json:"error"`
	Handle    string           `json:"handle"`
	Rotations int              `json:"rotations"`
	Changes   int              `json:"changes"`
}

func follow(tb testing.TB, base string) *follower {
	tb.Helper()
	dir := node(tb)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "follow.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GATEWAY="+base)
	cmd.Stderr = tb.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { cancel(); _ = cmd.Wait() }) // how it ended does not matter
	return &follower{tb, in, bufio.NewReader(out)}
}

func (f *follower) say(command map[string]any) held {
	f.tb.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		f.tb.Fatal(err)
	}
	if _, err := f.in.Write(append(line, '\n')); err != nil {
		f.tb.Fatal(err)
	}
	text, err := f.out.ReadBytes('\n')
	if err != nil {
		f.tb.Fatalf("the client: %v", err)
	}
	var h held
	if err := json.Unmarshal(text, &h); err != nil {
		f.tb.Fatalf("%.200q: %v", text, err)
	}
	return h
}
