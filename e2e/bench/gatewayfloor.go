package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/topology"
)

// The floor of the gateway is nginx that sends the same bytes from files: the least that a good server takes to say something over HTTP. It
// knows beforehand what it says, and nobody waits.
const (
	floorClients = 1000 // that ask for something small at once
	floorAsks    = 10   // of each
)

// floor compares with nginx, if there is one.
func (b *gatewayBench) floor(ctx context.Context, l *lab, r *report, _ topology.Source) error {
	path, err := exec.LookPath("nginx")
	if err != nil {
		r.table("There is no nginx here to compare with")
		return nil
	}
	l.say("nginx")
	piece := []byte("[" + strings.Repeat(strings.Repeat("x", 255)+",", pieceBytes/256) + "0]")
	p, base, err := l.startNginx(ctx, path, map[string][]byte{"piece": piece, "change": piece[:changeBytes]})
	if err != nil {
		return err
	}
	defer p.stop()
	large, err := cpuOf(p, func() error { return readAll(ctx, base+"/piece", 1, cachedReads) })
	if err != nil {
		return err
	}
	small, err := cpuOf(p, func() error { return readAll(ctx, base+"/change", floorClients, floorAsks) })
	if err != nil {
		return err
	}
	mb := float64(len(piece)) * cachedReads / 1e6 / large
	per := 10_000 / float64(floorClients*floorAsks)
	r.table("nginx that sends as many bytes from files", "MB a second of its CPU, pieces of 1 MiB", "CPU seconds of 10,000 small answers")
	r.row(number(mb), number(small*per))
	r.add("gateway_nginx_replay_mb_s", mb, "MB/s")
	r.add("gateway_nginx_cpu_s_10k", small*per, "s")
	return nil
}

// Sizes of what nginx sends: a piece of replay, and the answer to a long poll, its head among it.
const (
	pieceBytes  = 1 << 20
	changeBytes = 900
)

// cpuOf is the CPU time in seconds that a process takes while something is done.
func cpuOf(p *process, do func() error) (float64, error) {
	before, err := cpuTime(p.Pid())
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := cpuTime(p.Pid())
	return max(after-before, 1.0/clockTicks), err
}

// readAll has many clients ask for something again and again, each over a connection that stays open.
func readAll(ctx context.Context, url string, clients, asks int) error {
	transport := &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range asks {
				if err := readOnce(ctx, &http.Client{Transport: transport}, url); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	all.Wait()
	return failed
}

func readOnce(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("nginx answers %s", resp.Status)
	}
	return nil
}

// startNginx serves files, and returns when it answers.
func (l *lab) startNginx(ctx context.Context, path string, files map[string][]byte) (*process, string, error) {
	dir, err := os.MkdirTemp(l.dir, "nginx")
	if err != nil {
		return nil, "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, "", err
		}
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	var config strings.Builder
	if os.Getuid() == 0 {
		config.WriteString("user root;\n")
	}
	fmt.Fprintf(&config, "daemon off; master_process off; pid %s/pid; events { worker_connections %d; }\nhttp {\n", dir, 2*floorClients)
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&config, "%s_temp_path %s/%s;\n", name, dir, name)
	}
	fmt.Fprintf(&config, "access_log off; default_type application/json; sendfile on; open_file_cache max=10; keepalive_requests 1000000;\n"+
		"server { listen %s backlog=%d; root %s; }\n}\n", address, 2*floorClients, dir)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		return nil, "", err
	}
	p, err := l.start(proc.Options{Name: "nginx", Path: path, Args: []string{"-c", file, "-p", dir, "-e", "stderr"}}, true)
	if err != nil {
		return nil, "", err
	}
	base := "http://" + address
	starting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return p, base, poll(starting, pollEvery/5, "nginx answers", func() (bool, error) {
		return readOnce(ctx, http.DefaultClient, base+"/change") == nil, nil // else it does not listen yet
	})
}
