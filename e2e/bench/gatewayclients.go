package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// webClients follow a shape over HTTP, each over a connection of its own. They read as little as they can: many of them share
// the machine with the gateway.
type webClients struct {
	count  int
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	at      map[int][]time.Time // when each row came to whom, by its id
	ready   int                 // clients that wait
	err     error
	changed chan struct{} // closed when something above changes that somebody may wait for
}

// dialers connect at the same time.
const dialers = 32

// startClients connects clients to a shape and returns when all of them wait for a change.
func startClients(ctx context.Context, address, table string, polls, streams int) (*webClients, error) {
	running, cancel := context.WithCancel(ctx)
	c := &webClients{count: polls + streams, cancel: cancel, at: map[int][]time.Time{}, changed: make(chan struct{})}
	query := url.Values{"table": {table}}.Encode()
	first := &webClient{all: c, address: address, query: query}
	if err := first.connect(running); err != nil {
		c.stop()
		return nil, err
	}
	for !first.live {
		if err := first.ask(); err != nil {
			c.stop()
			return nil, fmt.Errorf("read the shape before it is followed: %w", err)
		}
	}
	first.conn.Close()
	turns := make(chan struct{}, dialers)
	for i := range c.count {
		w := &webClient{all: c, address: address, query: query, handle: first.handle, offset: first.offset, cursor: first.cursor, live: true, sse: i >= polls}
		c.done.Go(func() {
			turns <- struct{}{}
			err := w.connect(running)
			<-turns
			if err == nil {
				err = w.follow()
			}
			if running.Err() == nil {
				c.note(func() { c.err = errors.Join(c.err, err) })
			}
		})
	}
	err := c.until(ctx, "all clients wait", func() bool { return c.ready == c.count })
	if err != nil {
		c.stop()
	}
	return c, err
}

func (c *webClients) stop() {
	c.cancel()
	c.done.Wait()
}

// note changes what clients know together.
func (c *webClients) note(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	if c.err != nil || c.ready >= c.count {
		c.signalLocked()
	}
}

// receive notes that a client has a row.
func (c *webClients) receive(id int, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at[id] = append(c.at[id], at); len(c.at[id]) == c.count {
		c.signalLocked()
	}
}

func (c *webClients) signalLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// until waits until ok says yes, or a client fails.
func (c *webClients) until(ctx context.Context, what string, ok func() bool) error {
	for {
		c.mu.Lock()
		yes, err, changed := ok(), c.err, c.changed
		c.mu.Unlock()
		if err != nil || yes {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		}
	}
}

// await waits until all clients have the rows with ids below n.
func (c *webClients) await(ctx context.Context, n int) error {
	return c.until(ctx, "all clients have a change", func() bool {
		for id := n - 1; id >= 0 && id > n-100; id-- {
			if len(c.at[id]) < c.count {
				return false
			}
		}
		return true
	})
}

func (c *webClients) received(id int) []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[id]
}

// webClient is one of them.
type webClient struct {
	all     *webClients
	address string
	query   string // that names the shape
	conn    net.Conn
	in      *bufio.Reader

	handle, offset, cursor string
	live, sse, waits       bool
	end                    func() bool
}

// Buffers are small because there are many clients.
const (
	clientBuffer = 2 << 10
	requestBytes = 256
)

func (w *webClient) connect(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.address)
	if err != nil {
		return err
	}
	w.conn, w.in = conn, bufio.NewReaderSize(conn, clientBuffer)
	w.end = context.AfterFunc(ctx, func() { conn.Close() })
	return nil
}

func (w *webClient) follow() error {
	defer w.end()
	defer w.conn.Close()
	for {
		if err := w.ask(); err != nil {
			return err
		}
	}
}

// ask makes one request and reads its answer.
func (w *webClient) ask() error {
	req := make([]byte, 0, requestBytes)
	req = append(append(req, "GET /v1/shape?"...), w.query...)
	param := func(name, value string) { req = append(append(append(req, name...), '='), value...) }
	if w.handle == "" {
		param("&offset", "-1")
	} else {
		param("&handle", w.handle)
		param("&offset", w.offset)
	}
	if w.live {
		param("&live=true&cursor", w.cursor)
	}
	if w.sse {
		param("&live_sse", "true")
	}
	if _, err := w.conn.Write(append(req, " HTTP/1.1\r\nHost: bench\r\n\r\n"...)); err != nil {
		return err
	}
	if w.live && !w.sse {
		w.waiting() // the answer's head comes with what is new
	}
	size, err := w.head()
	if err != nil {
		return err
	}
	if w.sse && w.live {
		w.waiting()
		return w.events()
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(w.in, body); err != nil {
		return err
	}
	w.take(body)
	return nil
}

func (w *webClient) waiting() {
	if !w.waits {
		w.waits = true
		w.all.note(func() { w.all.ready++ })
	}
}

// head reads the head of an answer.
func (w *webClient) head() (size int, err error) {
	w.live = w.live && w.sse
	for n := 0; ; n++ {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimSpace(line)
		if n == 0 && !bytes.Contains(line, []byte(" 200 ")) {
			return 0, fmt.Errorf("the gateway answers %q", line)
		}
		if len(line) == 0 {
			return size, nil
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			if size, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case "Electric-Handle":
			w.handle = string(value)
		case "Electric-Offset":
			w.offset = string(value)
		case "Electric-Cursor":
			w.cursor = string(value)
		case "Electric-Up-To-Date:":
			w.live = true
		}
	}
}

// events reads a stream to its end. The chunks of its transfer are lines as others.
func (w *webClient) events() error {
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(line, []byte("data: ")):
			w.take(line)
			if _, seen, ok := bytes.Cut(line, []byte(`"global_last_seen_lsn":"`)); ok {
				lsn, _, _ := bytes.Cut(seen, []byte{'"'})
				w.offset = string(lsn) + "_0"
			}
		case bytes.Equal(line, []byte("0\r\n")):
			_, err := w.in.ReadSlice('\n') // the empty line behind the last chunk
			return err
		}
	}
}

// take notes when rows came.
func (w *webClient) take(text []byte) {
	now := time.Now()
	for {
		_, rest, ok := bytes.Cut(text, []byte(`"value":{"id":"`))
		if !ok {
			return
		}
		digits, _, _ := bytes.Cut(rest, []byte{'"'})
		if id, err := strconv.Atoi(string(digits)); err == nil {
			w.all.receive(id, now)
		}
		text = rest
	}
}
