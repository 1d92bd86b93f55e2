package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// modules installs the clients once for all tests. It is package state because a test binary is what it belongs to.
var modules struct {
	once sync.Once
	err  error
	out  []byte
}

// mustInstall makes it an error that the clients cannot be installed, as without a network.
const mustInstall = "GATEWAY_MUST_INSTALL"

// node returns the directory of the scripts, with their modules installed. Without Node, or without a place to get them from, the
// test is skipped.
func node(tb testing.TB) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs Postgres; not in -short")
	}
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			tb.Skipf("there is no %s here; install Node.js 20 or later to run the clients", name)
		}
	}
	dir, err := filepath.Abs("js")
	if err != nil {
		tb.Fatal(err)
	}
	modules.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
		stamp := filepath.Join(dir, "node_modules", ".installed")
		if have, failed := os.ReadFile(stamp); err == nil && failed == nil && string(have) == string(lock) {
			return
		}
		cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline")
		cmd.Dir = dir
		if modules.out, modules.err = cmd.CombinedOutput(); modules.err == nil {
			modules.err = os.WriteFile(stamp, lock, 0o600)
		}
	})
	if modules.err != nil && os.Getenv(mustInstall) == "" {
		tb.Skipf("the clients cannot be installed; with %s=1 that is an error: %v\n%s", mustInstall, modules.err, modules.out)
	}
	if modules.err != nil {
		tb.Fatalf("install the clients: %v\n%s", modules.err, modules.out)
	}
	return dir
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
