package coalesce

import (
	"bufio"
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// readBuffer is what one read can take.
	readBuffer = 256 << 10
	// A read in a burst waits shortestDelay for more, and up to longestDelay
	// while that brings little. The walsender sends one packet per row; taking
	// many with one read saves both sides most of their system calls.
	shortestDelay = 250 * time.Microsecond
	longestDelay  = time.Millisecond
	// burstReads is after how many quick reads a burst is one. A transaction of
	// a few rows stays below it and is not delayed.
	burstReads = 8
	// wakeBytes is how much must have come in for the kernel to wake us during
	// a burst; else it would at every packet, only for us to go back to sleep.
	wakeBytes = 64 << 10
	// A read of littleBytes or less was worth waiting longer for, one of
	// plentyBytes or more was not.
	littleBytes, plentyBytes = 32 << 10, 128 << 10
)

// Conn is a connection that, while data keeps coming, lets some gather
// before each read. It stands below TLS, which reads record by record. One
// goroutine may read while others write.
type Conn struct {
	net.Conn

	// Drained, if set, is called before each read, which may wait.
	Drained func() error

	buffer *bufio.Reader // reads through read
	socket *socket       // nil where the system or the connection has no such thing
	timer  *time.Timer
	quick  int           // reads in a row that found data waiting
	delay  time.Duration // before each read of this burst; 0 outside of one
	heard  atomic.Int64
}

func newConn(conn net.Conn) *Conn {
	c := &Conn{Conn: conn, socket: newSocket(conn), timer: time.NewTimer(0)}
	<-c.timer.C
	c.buffer = bufio.NewReaderSize(readerFunc(c.read), readBuffer)
	c.heard.Store(time.Now().UnixNano())
	return c
}

// Read reads what has gathered.
func (c *Conn) Read(p []byte) (int, error) { return c.buffer.Read(p) }

func (c *Conn) read(p []byte) (int, error) {
	if c.Drained != nil {
		if err := c.Drained(); err != nil {
			return 0, err
		}
	}
	if c.delay > 0 {
		if n, err := c.readBurst(p); n > 0 || err != nil {
			return n, err
		}
	}
	start := time.Now()
	n, err := c.Conn.Read(p)
	now := time.Now()
	c.heard.Store(now.UnixNano())
	if now.Sub(start) > 2*shortestDelay {
		c.quick = 0
	} else if c.quick++; c.quick >= burstReads && c.socket != nil {
		c.delay = shortestDelay
		c.socket.wakeAt(wakeBytes)
	}
	return n, err
}

// readBurst lets data gather and takes it. Without any it ends the burst.
func (c *Conn) readBurst(p []byte) (int, error) {
	c.timer.Reset(c.delay)
	<-c.timer.C
	n, err := c.socket.tryRead(p)
	switch {
	case n <= 0:
		c.quick, c.delay = 0, 0
		c.socket.wakeAt(1)
		return 0, err
	case n <= littleBytes:
		c.delay = min(2*c.delay, longestDelay)
	case n >= plentyBytes:
		c.delay = max(c.delay/2, shortestDelay)
	}
	c.heard.Store(time.Now().UnixNano())
	return n, err
}

// LastHeard is when the server sent something last.
func (c *Conn) LastHeard() time.Time { return time.Unix(0, c.heard.Load()) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Reads makes each connection of cfg a Conn. made is called with each, the
// one in use last.
func Reads(cfg *pgconn.Config, made func(*Conn)) {
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := newConn(conn)
		made(c)
		return c, nil
	}
}
