package ingest

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
	// readDelay is how long a read in a burst waits for more. The walsender
	// sends one packet per row; taking several with one read saves both sides
	// most of their system calls and doubles the throughput.
	readDelay = 250 * time.Microsecond
	// burstReads is after how many quick reads a burst is one. A single
	// transaction of a few rows stays below it and is not delayed.
	burstReads = 8
)

// coalescer is a connection that, while data keeps coming, lets some gather
// before each read. It stands below TLS, which reads record by record. One
// goroutine may read while others write.
type coalescer struct {
	net.Conn

	buffer *bufio.Reader // reads through read
	timer  *time.Timer
	burst  int       // reads in a row that found data waiting
	full   bool      // the last read filled the buffer
	last   time.Time // end of the last read
	heard  atomic.Int64
}

func newCoalescer(conn net.Conn) *coalescer {
	c := &coalescer{Conn: conn, timer: time.NewTimer(0)}
	<-c.timer.C
	c.buffer = bufio.NewReaderSize(readerFunc(c.read), readBuffer)
	c.heard.Store(time.Now().UnixNano())
	return c
}

// Read reads what has gathered.
func (c *coalescer) Read(p []byte) (int, error) { return c.buffer.Read(p) }

func (c *coalescer) read(p []byte) (int, error) {
	start := time.Now()
	if c.burst >= burstReads && !c.full && start.Sub(c.last) < 2*readDelay {
		c.timer.Reset(readDelay)
		<-c.timer.C
		start = time.Now()
	}
	n, err := c.Conn.Read(p)
	c.last = time.Now()
	c.full = n == len(p)
	if c.last.Sub(start) < 2*readDelay {
		c.burst++
	} else {
		c.burst = 0
	}
	c.heard.Store(c.last.UnixNano())
	return n, err
}

// lastHeard is when the server sent something last.
func (c *coalescer) lastHeard() time.Time { return time.Unix(0, c.heard.Load()) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// coalesceReads makes connections of cfg coalescers. made is called with each,
// the one in use last.
func coalesceReads(cfg *pgconn.Config, made func(*coalescer)) {
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := newCoalescer(conn)
		made(c)
		return c, nil
	}
}
