package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// natsCommand is how this program runs itself as the NATS server, which so has a process whose CPU time and memory are its own.
const natsCommand = "nats-server"

// serveNATS runs a server on the directory args[0] until ctx ends. It prints the address, and that of what Go tells of its memory.
func serveNATS(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("%s wants a directory", natsCommand)
	}
	srv, err := natsembed.Start(natsembed.Options{Dir: args[0], Port: -1}) // syncs every second
	if err != nil {
		return err
	}
	defer srv.Stop()
	memory, err := serveMemory(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "%s\n%s\n", srv.ClientURL(), memory); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// serveMemory serves what Go tells of this process, as /metrics and as profiles, until ctx ends, and returns the address.
func serveMemory(ctx context.Context) (string, error) {
	metrics := prometheus.NewRegistry()
	if err := errors.Join(metrics.Register(collectors.NewGoCollector()), metrics.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))); err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // it ends with the process
	return "http://" + listener.Addr().String() + "/metrics", nil
}

// startNATS starts the server as a process and returns its address.
func (l *lab) startNATS() (p *process, url string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("find this program: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	p, err = l.start(proc.Options{Name: "nats", Path: self, Args: []string{natsCommand, filepath.Join(l.dir, "nats")}, Stdout: w}, true)
	_ = w.Close() // the child has its own copy
	if err != nil {
		return nil, "", err
	}
	lines := bufio.NewReader(r)
	line, err := lines.ReadString('\n')
	if err == nil {
		p.metrics, err = lines.ReadString('\n')
	}
	if err != nil {
		return nil, "", fmt.Errorf("the NATS server did not start: %w\n%s", err, p.Log.Tail())
	}
	p.metrics = strings.TrimSpace(p.metrics)
	return p, strings.TrimSpace(line), nil
}
