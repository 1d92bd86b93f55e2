package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

type healthCmd struct {
	Listen  string        `default:":8080" help:"Address that the service listens on, as its own --listen (default ${default})."`
	Ready   bool          `env:"-" help:"Ask whether it does its work, not only whether it runs. Default off."`
	Timeout time.Duration `env:"-" default:"3s" help:"How long to wait for the answer (default ${default})."`
}

// Run asks a service on this machine; containers use it as their health check.
func (c *healthCmd) Run(ctx context.Context, out *console) error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return &usageError{text: fmt.Sprintf("--listen %q: want host:port or :port", c.Listen)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	path := "/healthz"
	if c.Ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no service answers: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	_, err = out.stdout.Write(text)
	return err
}
