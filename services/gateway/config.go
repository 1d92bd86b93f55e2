package gateway

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Config is what a Gateway needs. The zero value of every field but Source and NATS is useful.
type Config struct {
	Source topology.Source
	NATS   *nats.Conn // stays the caller's
	// APIPrefix is what JetStream's subjects begin with, see topology.JetStream; default $JS.API.
	APIPrefix string
	Log       *slog.Logger

	// DatabaseURL is of the source's Postgres, for subset snapshots. Without it they are refused.
	DatabaseURL string

	// Address to listen on; default :3000. Listener, if there is one, is used instead, and closed at the end.
	Address  string
	Listener net.Listener
	// TLS is for HTTPS; nil is plain HTTP/1.1 and HTTP/2 without TLS, as proxies speak it.
	TLS *tls.Config

	// Access says who may ask for what; the zero value lets everybody ask for everything.
	Access Access

	LongPoll    time.Duration // how long a live request waits for something new; default 20 s
	Stream      time.Duration // how long a stream of server-sent events lasts; default 60 s
	KeepAlive   time.Duration // between comments on a quiet stream; default 21 s
	MaxAge      time.Duration // how long caches may keep an answer; default 60 s
	StaleAge    time.Duration // and how long behind that, while they ask for another; default 300 s
	HeadWithin  time.Duration // a request's head must have come within that; default 10 s
	WriteWithin time.Duration // a client that takes nothing for that long is dropped; default 15 s
	IdleShape   time.Duration // a shape that nobody asks for is followed that long; default 60 s
	StopWithin  time.Duration // answers under way may take that long when the gateway stops; default 5 s

	ChunkBytes  int // of one answer, about; default 10 MiB. All gateways of a source must have the same
	WindowBytes int // held of the end of each shape's log; default 256 KiB
	CacheBytes  int // held of larger pieces, of all shapes; default 64 MiB
	SendBytes   int // held for answers that are being sent to clients, who may be slow; default 256 MiB
	MaxShapes   int // followed at once; default 10,000
	MaxInitial  int // requests at once that begin with a shape; default 300
	MaxExisting int // requests at once that go on with one; default 50,000
	PerAddress  int // requests at once from one address; 0 is no limit

	// ConsoleSecret is what opens the console, which there is only with one; ConsoleViewerSecret opens what shows no rows and
	// changes nothing.
	ConsoleSecret, ConsoleViewerSecret string

	// Deletions lets clients delete shapes, which ends them for every reader. It is for tests.
	Deletions bool

	Tracer *tracing.Tracer // of transactions; nil traces none

	Version string // of the program, for the server header
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Source == "":
		return c, errors.New("gateway: no source")
	case c.NATS == nil:
		return c, errors.New("gateway: no connection to NATS")
	}
	for _, f := range []struct {
		name string
		to   *time.Duration
		by   time.Duration
	}{
		{"LongPoll", &c.LongPoll, 20 * time.Second},
		{"Stream", &c.Stream, time.Minute},
		{"KeepAlive", &c.KeepAlive, 21 * time.Second},
		{"MaxAge", &c.MaxAge, time.Minute},
		{"StaleAge", &c.StaleAge, 5 * time.Minute},
		{"HeadWithin", &c.HeadWithin, 10 * time.Second},
		{"WriteWithin", &c.WriteWithin, 15 * time.Second},
		{"IdleShape", &c.IdleShape, time.Minute},
		{"StopWithin", &c.StopWithin, 5 * time.Second},
	} {
		if *f.to = cmp.Or(*f.to, f.by); *f.to < 0 {
			return c, fmt.Errorf("gateway: %s is negative", f.name)
		}
	}
	for _, f := range []struct {
		name string
		to   *int
		by   int
	}{
		{"ChunkBytes", &c.ChunkBytes, 10 << 20},
		{"WindowBytes", &c.WindowBytes, 256 << 10},
		{"CacheBytes", &c.CacheBytes, 64 << 20},
		{"SendBytes", &c.SendBytes, 256 << 20},
		{"MaxShapes", &c.MaxShapes, 10_000},
		{"MaxInitial", &c.MaxInitial, 300},
		{"MaxExisting", &c.MaxExisting, 50_000},
		{"PerAddress", &c.PerAddress, 0},
	} {
		if *f.to = cmp.Or(*f.to, f.by); *f.to < 0 {
			return c, fmt.Errorf("gateway: %s is negative", f.name)
		}
	}
	c.Address = cmp.Or(c.Address, ":3000")
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
