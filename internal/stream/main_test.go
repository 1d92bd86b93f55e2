package stream_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// patience is how long a test waits for what must come.
const patience = 90 * time.Second

// bench is a JetStream server with one stream, S, on s.>.
type bench struct {
	tb     testing.TB
	server *natsembed.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
}

func newBench(tb testing.TB, opts natsembed.Options, cfg jetstream.StreamConfig) *bench {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs JetStream; not in -short")
	}
	if opts.Dir == "" {
		opts.Dir = tb.TempDir()
	}
	server, err := natsembed.Start(opts)
	ok(tb, err)
	tb.Cleanup(server.Stop)
	b := &bench{tb: tb, server: server}
	b.nc, err = server.Connect()
	ok(tb, err)
	tb.Cleanup(b.nc.Close)
	b.js, err = jetstream.New(b.nc)
	ok(tb, err)
	cfg.Name, cfg.Subjects, cfg.AllowDirect, cfg.AllowAtomicPublish = "S", []string{"s.>"}, true, true
	b.stream, err = b.js.CreateOrUpdateStream(b.ctx(), cfg)
	ok(tb, err)
	return b
}

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b.tb.Cleanup(cancel)
	return ctx
}

// appender is one without a fence, so that the test can count on sequences.
func (b *bench) appender(cfg stream.AppenderConfig) *stream.Appender {
	b.tb.Helper()
	a := b.fenced(cfg)
	a.WithoutFence()
	return a
}

func (b *bench) fenced(cfg stream.AppenderConfig) *stream.Appender {
	b.tb.Helper()
	a, err := stream.OpenAppender(b.ctx(), b.nc, "S", cfg)
	ok(b.tb, err)
	b.tb.Cleanup(a.Close)
	return a
}

func (b *bench) reader(from uint64) *stream.Reader {
	b.tb.Helper()
	r, err := stream.OpenReader(b.ctx(), b.js, "S", from)
	ok(b.tb, err)
	b.tb.Cleanup(r.Close)
	return r
}

// stored returns the numbers (see numbered) of all that is in the stream.
func (b *bench) stored() []int {
	b.tb.Helper()
	info, err := b.stream.Info(b.ctx())
	ok(b.tb, err)
	var all []int
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
		m, err := b.stream.GetMsg(b.ctx(), seq)
		ok(b.tb, err)
		if _, fence := stream.Fence(m.Header); fence {
			continue
		}
		all = append(all, number(m.Data))
	}
	return all
}

// wantFirst fails the test unless the stream holds the messages numbered 0 to n-1, where n is at least least.
func (b *bench) wantFirst(least int) int {
	b.tb.Helper()
	all := b.stored()
	for i, n := range all {
		if n != i {
			b.tb.Fatalf("message %d of the stream is number %d: what is stored is not a prefix of what was given", i, n)
		}
	}
	if len(all) < least {
		b.tb.Fatalf("%d messages are stored, but %d were acknowledged", len(all), least)
	}
	return len(all)
}

// numbered is a message of size bytes, at least 8, that tells its number.
func numbered(n, size int) stream.Message {
	data := make([]byte, size)
	binary.BigEndian.PutUint64(data, uint64(n))
	return stream.Message{Subject: fmt.Sprintf("s.%d", n%3), Data: data}
}

func number(data []byte) int { return int(binary.BigEndian.Uint64(data)) }

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// noLeaks fails the test if goroutines or subscriptions made from now on are still there when it ends, after all clean-up
// that is registered later.
func (b *bench) noLeaks() {
	b.tb.Helper()
	subscriptions, goroutines := b.nc.NumSubscriptions(), goleak.IgnoreCurrent()
	b.tb.Cleanup(func() {
		// nats.go 1.55 leaves this one behind for ever if its publisher is closed before the goroutine has run for the first time.
		late := goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect")
		if err := goleak.Find(goroutines, late); err != nil {
			b.tb.Error(err)
		}
		if n := b.nc.NumSubscriptions(); n > subscriptions {
			b.tb.Errorf("%d subscriptions, before the test %d", n, subscriptions)
		}
	})
}

// wire is a TCP connection to a server that a test can cut, as a network does.
type wire struct {
	mu   sync.Mutex
	last net.Conn // guarded by mu
	deaf atomic.Bool
}

// Dial makes wire a nats.CustomDialer.
func (w *wire) Dial(network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).Dial(network, address)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = c
	w.deaf.Store(false)
	return hearing{c, w}, err
}

// deafen loses all that the server sends, until the wire is cut.
func (w *wire) deafen() { w.deaf.Store(true) }

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.last.Close() // it may be cut already
}

// hearing is a client's end of a wire.
type hearing struct {
	net.Conn

	w *wire
}

func (h hearing) Read(p []byte) (int, error) {
	for {
		if n, err := h.Conn.Read(p); err != nil || !h.w.deaf.Load() {
			return n, err
		}
	}
}

// overTCP connects again through a wire that can be cut; the connection comes back at once.
func (b *bench) overTCP() (*nats.Conn, *wire) {
	b.tb.Helper()
	w := &wire{}
	nc, err := nats.Connect(b.server.ClientURL(), nats.SetCustomDialer(w), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1))
	ok(b.tb, err)
	b.tb.Cleanup(nc.Close)
	return nc, w
}
