package materializer

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Config is what a materializer needs. Zero values mean the defaults.
type Config struct {
	Source topology.Source
	NATS   *nats.Conn // its connection; the caller closes it after Run
	// APIPrefix is what JetStream's subjects begin with: a domain's behind a leaf node; default $JS.API.
	APIPrefix string
	Replicas  int // copies of what it stores, in a cluster; default 1

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

	Tracer *tracing.Tracer // of transactions; nil traces none

	// Failpoint, if not nil, is called at named points; crash tests die there.
	Failpoint func(failpoint.Point)
}

// Materializer is one process's part in following inner shapes. See New.
type Materializer struct {
	cfg    Config
	log    *slog.Logger
	ready  chan struct{}
	builds chan struct{} // one token per set that may be built
	lowest lowest
	stats  stats
	facts  facts
}

// stats are counters for metrics; safe for concurrent use.
type stats struct {
	service.Trouble

	Loops health.Loops // of the partitions
	Heard health.Clock // a message of a shape log was read
	Wrote health.Clock // a verdict was appended

	Partitions   atomic.Int64
	Moves        atomic.Int64
	Live         atomic.Int64
	Parked       atomic.Int64
	Values       atomic.Int64
	Unread       atomic.Int64
	Messages     atomic.Int64
	Verdicts     atomic.Int64
	Bases        atomic.Int64
	Bytes        atomic.Int64
	Inconsistent atomic.Int64
}

// New checks the configuration and does nothing else.
func New(cfg Config) (*Materializer, error) {
	if _, err := topology.ParseSource(string(cfg.Source)); err != nil {
		return nil, err
	}
	if cfg.NATS == nil {
		return nil, errors.New("materializer: a NATS connection is needed")
	}
	if err := topology.CheckWriterPrefix(cfg.APIPrefix); err != nil {
		return nil, fmt.Errorf("materializer: %w", err)
	}
	service.Default(&cfg.Replicas, 1)
	service.Default(&cfg.WindowBytes, 1<<20)
	service.Default(&cfg.ReadBytes, 2<<20)
	service.Default(&cfg.BaseBytes, 256<<10)
	service.Default(&cfg.BaseLeast, 1<<20)
	service.Default(&cfg.Builds, 4)
	service.Default(&cfg.AckInterval, 200*time.Millisecond)
	service.Default(&cfg.TrimInterval, 5*time.Second)
	service.Default(&cfg.Retention, 24*time.Hour)
	service.Default(&cfg.SyncInterval, 130*time.Second)
	service.Default(&cfg.Name, service.ProcessName())
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Failpoint == nil {
		cfg.Failpoint = failpoint.Never
	}
	return &Materializer{
		cfg: cfg, log: cfg.Log.With(slog.String("service", "materializer"), slog.String("source", string(cfg.Source))),
		ready: make(chan struct{}), builds: make(chan struct{}, cfg.Builds),
	}, nil
}

// Ready is closed once the process takes part in sharing the partitions.
func (m *Materializer) Ready() <-chan struct{} { return m.ready }

// Status is a materializer's own view, for metrics.
type Status struct {
	Partitions   int64 // owned
	Moves        int64 // partitions taken and handed over
	Live         int64 // value sets that are followed
	Parked       int64 // value sets being built, or waiting for their shape's snapshot
	Values       int64 // distinct values held
	Unread       int64 // messages in the owned partitions not yet read
	Messages     int64 // shape log messages read
	Verdicts     int64
	Bases        int64
	Bytes        int64 // of verdicts and bases
	Inconsistent int64 // ops that did not fit what was there
	Retries      int64
	LastError    string
	// When a shape log's message was read, and a verdict appended; zero if none was.
	HeardAt, WroteAt time.Time
}

// Status returns the present figures. It is cheap.
func (m *Materializer) Status() Status {
	return Status{
		Partitions: m.stats.Partitions.Load(), Moves: m.stats.Moves.Load(), Live: m.stats.Live.Load(), Parked: m.stats.Parked.Load(), Values: m.stats.Values.Load(),
		Unread: m.stats.Unread.Load(), Messages: m.stats.Messages.Load(), Verdicts: m.stats.Verdicts.Load(), Bases: m.stats.Bases.Load(),
		Bytes: m.stats.Bytes.Load(), Inconsistent: m.stats.Inconsistent.Load(), Retries: m.stats.Retries.Load(), LastError: m.stats.Last(), HeardAt: m.stats.Heard.Last(), WroteAt: m.stats.Wrote.Last(),
	}
}
