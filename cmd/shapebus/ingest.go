package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/ingest"
)

type ingestCmd struct {
	serviceFlags
	ingestTuning `group:"Tuning:"`

	Listen string `default:":8080" help:"Address of /healthz, /readyz and /metrics; empty for none (default ${default})."`
}

// ingestTuning is what dev offers too.
type ingestTuning struct {
	FragmentBytes     byteSize      `default:"256KiB" help:"Size at which what is gathered of a transaction is published, in bytes or with KiB, MiB (default ${default})."`
	FragmentOps       int           `default:"0" help:"Number of row changes at which it is published; 0 is no limit (default ${default})."`
	WindowBytes       byteSize      `default:"0" help:"Bytes that may be in flight to JetStream. Default 0: ingest's own choice."`
	MaxBackPressure   time.Duration `default:"1m" help:"How long JetStream may hold up ingest before the connection to Postgres is closed for a while (default ${default})."`
	ChangeLogMaxBytes byteSize      `default:"8GiB" help:"Size at which the change log drops its oldest messages; -1 is no limit (default ${default})."`
	ChangeLogMaxAge   time.Duration `default:"0s" help:"Age at which the change log drops messages; 0 is no limit (default ${default})."`
	HoldPostgres      bool          `help:"A full change log holds back Postgres instead of dropping what slow shapes have not read. Default off."`
	Failover          bool          `help:"Have the slot synchronised to standbys (failover = true), also one that exists; Postgres 17 and later, others are refused. Default off."`
}

func (t ingestTuning) config(replicas int) ingest.Config {
	return ingest.Config{
		ChangeLog: topology.ChangeLogConfig{
			Replicas: replicas, MaxBytes: int64(t.ChangeLogMaxBytes), MaxAge: t.ChangeLogMaxAge, HoldPostgres: t.HoldPostgres,
		},
		FragmentBytes: int(t.FragmentBytes), FragmentOps: t.FragmentOps, WindowBytes: int(t.WindowBytes),
		MaxBackPressure: t.MaxBackPressure, Failover: t.Failover,
	}
}

// Run runs the service.
func (c *ingestCmd) Run(ctx context.Context, out *console) error {
	var running atomic.Pointer[ingest.Ingest]
	return service{
		role: "ingest", listen: c.Listen,
		build: func(d dependencies) (func(context.Context) error, error) {
			cfg := c.ingestTuning.config(c.Replicas)
			cfg.Source, cfg.DatabaseURL, cfg.NATS, cfg.Log, cfg.Failpoint, cfg.Tracer, cfg.APIPrefix = d.source, d.database, d.nats, d.log, d.failpoint, d.tracer, c.NATS.APIPrefix
			cfg.Publication, cfg.Slot, cfg.SyncInterval = c.Publication, c.Slot, c.SyncInterval
			s, err := ingest.New(cfg)
			if err != nil {
				return nil, err
			}
			running.Store(s)
			return s.Run, nil
		},
		facts: func() (health.Facts, bool) { return healthOf(running.Load()) },
		metrics: func() []telemetry.Metric {
			if s := running.Load(); s != nil {
				return ingestMetrics(s.Status())
			}
			return ingestMetrics(ingest.Status{})
		},
	}.run(ctx, out, c.streamFlags, c.required)
}
