package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Config says what to read and where to put it. Zero values mean the defaults.
type Config struct {
	// Source names the database in streams and subjects. Required.
	Source topology.Source
	// DatabaseURL is a connection string for Postgres itself (not a pooler);
	// the role needs REPLICATION. Required.
	DatabaseURL string
	// NATS is the connection to use. It stays the caller's, who keeps it open
	// until Run has returned. Required.
	NATS *nats.Conn
	// APIPrefix is what JetStream's subjects begin with: that of a domain where
	// NATS is a leaf node (topology.DomainPrefix). Default $JS.API.
	APIPrefix string
	// Publication and Slot are the names in Postgres; both are created when
	// missing. Default: the source's.
	Publication, Slot string
	// ChangeLog says how the change log is kept.
	ChangeLog topology.ChangeLogConfig
	// SyncInterval is how long after its acknowledgement JetStream may take to
	// write a message to disk. An LSN is confirmed to Postgres only that much
	// later. Default 2m10s: the sync_interval of a NATS server that nobody
	// configured, and a margin.
	SyncInterval time.Duration
	// FragmentBytes is the size at which open fragments are published.
	// Default 256 KiB. It should stay below the server's max_payload.
	FragmentBytes int
	// FragmentOps is the number of ops at which open fragments are published,
	// if FragmentBytes is not reached before. Default 0: no limit.
	FragmentOps int
	// WindowBytes bounds the messages in flight. Default 6 MiB.
	WindowBytes int
	// MaxBackPressure is how long JetStream may refuse more before the
	// replication connection is closed, to be opened again later. A reader that
	// merely stops can hang the server's checkpointer. Default 60s.
	MaxBackPressure time.Duration
	// Failover has the slot synchronised to standbys, also one that exists. Postgres 17 on; Run
	// refuses older ones.
	Failover bool
	// Log receives what happens. Default: nothing is logged.
	Log *slog.Logger
	// Tracer traces transactions. Default: none is.
	Tracer *tracing.Tracer
	// Failpoint, if not nil, is called at named places, for tests that crash
	// the process there: between_fragments, after_publish, after_ack,
	// before_confirm.
	Failpoint func(failpoint.Point)
}

// Defaults of Config.
const (
	defaultSyncInterval    = 130 * time.Second
	defaultFragmentBytes   = 256 << 10
	defaultWindowBytes     = 6 << 20
	defaultMaxBackPressure = time.Minute
)

func (c Config) withDefaults() Config {
	service.Default(&c.Publication, c.Source.Publication())
	service.Default(&c.Slot, c.Source.Slot())
	service.Default(&c.SyncInterval, defaultSyncInterval)
	service.Default(&c.FragmentBytes, defaultFragmentBytes)
	service.Default(&c.WindowBytes, defaultWindowBytes)
	service.Default(&c.MaxBackPressure, defaultMaxBackPressure)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With(slog.String("service", "ingest"), slog.String("source", string(c.Source)), slog.String("slot", c.Slot))
	if c.Failpoint == nil {
		c.Failpoint = failpoint.Never
	}
	return c
}

func (c Config) validate() error {
	if _, err := topology.ParseSource(string(c.Source)); err != nil {
		return err
	}
	if err := topology.CheckWriterPrefix(c.APIPrefix); err != nil {
		return err
	}
	switch {
	case c.DatabaseURL == "":
		return errors.New("no database: set DatabaseURL to Postgres' connection string")
	case c.NATS == nil:
		return errors.New("no NATS connection")
	case c.SyncInterval < 0:
		return fmt.Errorf("sync interval %s is negative", c.SyncInterval)
	case c.FragmentBytes < 0 || c.FragmentOps < 0:
		return errors.New("fragment size is negative; 0 means the default")
	case c.WindowBytes < 0:
		return errors.New("window size is negative; 0 means the default")
	case c.MaxBackPressure < 0:
		return fmt.Errorf("max back-pressure %s is negative", c.MaxBackPressure)
	}
	return nil
}
