package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/shapebus/shapebus/pkg/natsembed"
)

// ServeNATS is the process that runs the demo's NATS. Its streams are gone when it ends, which it does when whoever holds the
// other end of its stdin ends, however that happens.
func ServeNATS(ctx context.Context, stdin io.Reader, stdout io.Writer, log *slog.Logger) error {
	server, err := natsembed.Start(natsembed.Options{Port: -1, Log: log})
	if err != nil {
		return err
	}
	defer server.Stop()
	if _, err := fmt.Fprintln(stdout, server.ClientURL()); err != nil {
		return err
	}
	alone := make(chan struct{})
	go func() {
		defer close(alone)
		_, _ = io.Copy(io.Discard, stdin) // its end is all that matters
	}()
	select {
	case <-ctx.Done():
	case <-alone:
	}
	return nil
}

// firstLine is a writer that waits for a line and ignores what follows.
type firstLine struct {
	line chan string // gets the line; of capacity 1

	mu   sync.Mutex // guards what follows
	text []byte
	told bool
}

func newFirstLine() *firstLine { return &firstLine{line: make(chan string, 1)} }

// Write never fails.
func (f *firstLine) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told {
		return len(p), nil
	}
	f.text = append(f.text, p...)
	if line, _, ok := bytes.Cut(f.text, []byte{'\n'}); ok {
		f.told = true
		f.line <- string(line)
	}
	return len(p), nil
}
