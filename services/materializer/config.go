package materializer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Config is what a materializer needs. Zero values mean the defaults.
type Config struct {
	Source   topology.Source
	NATS     *nats.Conn // its connection; the caller closes it after Run
	Replicas int        // copies of what it stores, in a cluster; default 1

	WindowBytes  int           // bytes in flight per partition; default 1 MiB
	ReadBytes    int           // shape logs that the server sends in advance, per partition; default 2 MiB
	BaseBytes    int           // size of a base's messages; default 256 KiB
	BaseLeast    int64         // verdicts, in bytes, that a new base must save readers at least; default 1 MiB
	Builds       int           // sets built at once; default 4
	AckInterval  time.Duration // between acknowledgements; default 200 ms
	TrimInterval time.Duration // between looks at what nobody needs any more; default 5 s
	Retention    time.Duration // how long a set is kept that no shape depends on any more; default 24 h
	SyncInterval time.Duration // by which JetStream has written to disk what it acknowledged; default 130 s

	Name string       // of this process, among members and in leases; default host and pid
	Log  *slog.Logger // default: none

	// Failpoint, if not nil, is called at named points; crash tests die there.
	Failpoint func(name string)
}

// Materializer is one process's part in following inner shapes. See New.
type Materializer struct {
	cfg    Config
	log    *slog.Logger
	ready  chan struct{}
	builds chan struct{} // one token per set that may be built
	stats  stats
}

// stats are counters for metrics; safe for concurrent use.
type stats struct {
	Partitions atomic.Int64
	Live       atomic.Int64
	Parked     atomic.Int64
	Values     atomic.Int64
	Unread     atomic.Int64
	Messages   atomic.Int64
	Verdicts   atomic.Int64
	Bases      atomic.Int64
	Bytes      atomic.Int64
	Misfits    atomic.Int64
	Retries    atomic.Int64
	LastError  atomic.Value // string
}

// New checks the configuration and does nothing else.
func New(cfg Config) (*Materializer, error) {
	if _, err := topology.ParseSource(string(cfg.Source)); err != nil {
		return nil, err
	}
	if cfg.NATS == nil {
		return nil, errors.New("materializer: a NATS connection is needed")
	}
	def(&cfg.Replicas, 1)
	def(&cfg.WindowBytes, 1<<20)
	def(&cfg.ReadBytes, 2<<20)
	def(&cfg.BaseBytes, 256<<10)
	def(&cfg.BaseLeast, 1<<20)
	def(&cfg.Builds, 4)
	def(&cfg.AckInterval, 200*time.Millisecond)
	def(&cfg.TrimInterval, 5*time.Second)
	def(&cfg.Retention, 24*time.Hour)
	def(&cfg.SyncInterval, 130*time.Second)
	if cfg.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		cfg.Name = fmt.Sprintf("%s-%d-%04x", host, os.Getpid(), rand.Uint32()&0xffff)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Failpoint == nil {
		cfg.Failpoint = func(string) {}
	}
	return &Materializer{
		cfg: cfg, log: cfg.Log.With(slog.String("service", "materializer"), slog.String("source", string(cfg.Source))),
		ready: make(chan struct{}), builds: make(chan struct{}, cfg.Builds),
	}, nil
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Ready is closed once the process takes part in sharing the partitions.
func (m *Materializer) Ready() <-chan struct{} { return m.ready }

// Status is a materializer's own view, for metrics.
type Status struct {
	Partitions int64 // owned
	Live       int64 // value sets that are followed
	Parked     int64 // value sets being built, or waiting for their shape's snapshot
	Values     int64 // distinct values held
	Unread     int64 // messages in the owned partitions not yet read
	Messages   int64 // shape log messages read
	Verdicts   int64
	Bases      int64
	Bytes      int64 // of verdicts and bases
	Misfits    int64 // ops that did not fit what was there
	Retries    int64
	LastError  string
}

// Status returns the present figures. It is cheap.
func (m *Materializer) Status() Status {
	last, _ := m.stats.LastError.Load().(string)
	return Status{
		Partitions: m.stats.Partitions.Load(), Live: m.stats.Live.Load(), Parked: m.stats.Parked.Load(), Values: m.stats.Values.Load(),
		Unread: m.stats.Unread.Load(), Messages: m.stats.Messages.Load(), Verdicts: m.stats.Verdicts.Load(), Bases: m.stats.Bases.Load(),
		Bytes: m.stats.Bytes.Load(), Misfits: m.stats.Misfits.Load(), Retries: m.stats.Retries.Load(), LastError: last,
	}
}

// backoff is a jittered, growing pause between attempts.
type backoff struct{ next time.Duration }

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// wait pauses, longer each time, or until ctx ends.
func (b *backoff) wait(ctx context.Context) {
	if b.next == 0 {
		b.next = firstPause
	}
	waitFor(ctx, b.next/2+rand.N(b.next))
	b.next = min(2*b.next, maxPause)
}

func (b *backoff) reset() { b.next = 0 }

func waitFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
