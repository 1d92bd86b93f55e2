package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// natsCommand is how this program runs itself as the NATS server, which so has a process whose CPU time and memory are its own.
const natsCommand = "nats-server"

// serveNATS runs a server on the directory args[0] until ctx ends. It prints the address.
func serveNATS(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("%s wants a directory", natsCommand)
	}
	srv, err := natsembed.Start(natsembed.Options{Dir: args[0], Port: -1}) // syncs every second
	if err != nil {
		return err
	}
	defer srv.Stop()
	if _, err := fmt.Fprintln(stdout, srv.ClientURL()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
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
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return nil, "", fmt.Errorf("the NATS server did not start: %w\n%s", err, p.Log.Tail())
	}
	return p, strings.TrimSpace(line), nil
}
