package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/services/materializer"
)

type materializerCmd struct {
	streamFlags
	materializerTuning `group:"Tuning:"`

	Listen string `default:":8082" help:"Address of /healthz, /readyz and /metrics; empty for none (default ${default})."`
}

// materializerTuning is what dev offers too.
type materializerTuning struct {
	ValueSetBuilds    int           `default:"4" help:"Value sets of subqueries that are read from the beginning at once (default ${default})."`
	ValueSetBaseLeast byteSize      `default:"1MiB" help:"Size of the verdicts that a new copy of a value set must at least save those who read them (default ${default})."`
	ValueSetRetention time.Duration `default:"24h" help:"How long a value set is kept that no shape depends on any more (default ${default})."`
}

func (t materializerTuning) config(replicas int) materializer.Config {
	return materializer.Config{Replicas: replicas, Builds: t.ValueSetBuilds, BaseLeast: int64(t.ValueSetBaseLeast), Retention: t.ValueSetRetention}
}

// Run runs the service.
func (c *materializerCmd) Run(ctx context.Context, out *console) error {
	var running atomic.Pointer[materializer.Materializer]
	return service{
		role: "materializer", listen: c.Listen, grows: true,
		build: func(d dependencies) (func(context.Context) error, error) {
			cfg := c.materializerTuning.config(c.Replicas)
			cfg.Source, cfg.NATS, cfg.Log, cfg.Failpoint, cfg.Tracer, cfg.SyncInterval, cfg.APIPrefix = d.source, d.nats, d.log, d.failpoint, d.tracer, c.SyncInterval, c.NATS.APIPrefix
			s, err := materializer.New(cfg)
			if err != nil {
				return nil, err
			}
			running.Store(s)
			return s.Run, nil
		},
		facts: func() (health.Facts, bool) { return healthOf(running.Load()) },
		metrics: func() []telemetry.Metric {
			if s := running.Load(); s != nil {
				return materializerMetrics(s.Status())
			}
			return materializerMetrics(materializer.Status{})
		},
	}.run(ctx, out, c.streamFlags, nil)
}
