package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer"
)

type consumerCmd struct {
	serviceFlags
	consumerTuning `group:"Tuning:"`

	Listen string `default:":8081" help:"Address of /healthz, /readyz and /metrics; empty for none (default ${default})."`
}

// consumerTuning is what dev offers too.
type consumerTuning struct {
	Partitions       int           `default:"${partitions}" help:"Streams that the shape logs of a new source are spread over; later shapebus source set gives it more (default ${default})."`
	Snapshots        int           `default:"4" help:"Shapes whose initial snapshots are read from Postgres at once (default ${default})."`
	ShapeLogMaxBytes byteSize      `default:"0" help:"Size at which a partition's stream refuses to grow; 0 is no limit (default ${default})."`
	Checkpoint       time.Duration `default:"1s" help:"Time between checkpoints while there is traffic (default ${default})."`
	CatalogInterval  time.Duration `default:"5s" help:"Time between looks at whether the tables of shapes have changed (default ${default})."`
	EndedRetention   time.Duration `default:"24h" help:"How long the last word of an ended shape is kept for its readers (default ${default})."`
	InnerGrace       time.Duration `default:"30s" help:"How long the shape that a subquery selects from stays when nobody asked for it and nothing depends on it any more (default ${default})."`
	TableGrace       time.Duration `default:"1h" help:"How long a table on which no shape is any more stays prepared, before its replica identity is put back and it leaves the publication; 0 is for ever (default ${default})."`
	MaxShapes        int           `default:"200000" help:"Shapes that the source may have; 0 is no limit (default ${default})."`
	MaxClauseBytes   byteSize      `default:"1GiB" help:"Size that the clauses and parameters of all shapes may have together; 0 is no limit (default ${default})."`
	MaxShapeRows     int64         `default:"100000000" help:"Rows that a shape may have; beyond it ends; 0 is no limit (default ${default})."`
	AllowTables      []string      `restricts:"" placeholder:"PATTERN,…" help:"Tables that shapes may be asked for, in subqueries too: schema.table, with * for any characters. Default: all that the role may read."`
	PrepareTables    bool          `default:"true" help:"Let the first shape of a table put it into the publication and give it REPLICA IDENTITY FULL; else its owner has to (default ${default})."`
	FoldFactor       float64       `default:"4" help:"How many times as large as the shape's rows a log may grow before it is folded; 0 is never, unless somebody asks (default ${default})."`
	FoldLeast        byteSize      `default:"8MiB" help:"Size up to which a log is not folded (default ${default})."`
	Folds            int           `default:"2" help:"Logs folded at once (default ${default})."`
	FoldInterval     time.Duration `default:"2s" help:"Time between looks at which logs have to be folded (default ${default})."`
	FoldGrace        time.Duration `default:"1h" help:"How long what a fold replaces is kept for those who read it; --sync-interval at least (default ${default})."`
	LockTimeout      time.Duration `default:"5s" help:"How long taking a table into the publication waits for its lock, holding up writers behind it for half a second at a time (default ${default})."`
}

func (t consumerTuning) config(replicas int) consumer.Config {
	grace := t.TableGrace
	if grace == 0 {
		grace = -1
	}
	factor := t.FoldFactor
	if factor == 0 {
		factor = -1
	}
	return consumer.Config{
		// 0 is as little as possible, and to a Config the default.
		FoldFactor: factor, FoldLeast: max(int64(t.FoldLeast), 1), Folds: t.Folds, FoldGrace: max(t.FoldGrace, 1), FoldEvery: t.FoldInterval,
		ShapeLogs:  topology.ShapeLogConfig{Replicas: replicas, MaxBytes: int64(t.ShapeLogMaxBytes)},
		Partitions: t.Partitions, Snapshots: t.Snapshots, Checkpoint: t.Checkpoint,
		CatalogInterval: t.CatalogInterval, Retention: t.EndedRetention, LockTimeout: t.LockTimeout, InnerGrace: t.InnerGrace, TableGrace: grace,
		MaxShapes: t.MaxShapes, MaxClauseBytes: int64(t.MaxClauseBytes), MaxShapeRows: t.MaxShapeRows, AllowTables: t.AllowTables, LeaveTables: !t.PrepareTables,
		Version: versionText(),
	}
}

// Run runs the service.
func (c *consumerCmd) Run(ctx context.Context, out *console) error {
	var running atomic.Pointer[consumer.Consumer]
	return service{
		role: "consumer", listen: c.Listen,
		build: func(d dependencies) (func(context.Context) error, error) {
			cfg := c.consumerTuning.config(c.Replicas)
			cfg.Source, cfg.DatabaseURL, cfg.NATS, cfg.Log, cfg.Failpoint, cfg.Tracer, cfg.APIPrefix = d.source, d.database, d.nats, d.log, d.failpoint, d.tracer, c.NATS.APIPrefix
			cfg.Publication, cfg.Slot, cfg.SyncInterval = c.Publication, c.Slot, c.SyncInterval
			s, err := consumer.New(cfg)
			if err != nil {
				return nil, err
			}
			running.Store(s)
			return s.Run, nil
		},
		facts: func() (health.Facts, bool) { return healthOf(running.Load()) },
		held: func() int64 {
			if s := running.Load(); s != nil {
				st := s.Status()
				return st.Values*valueMemory + (st.Live+st.Parked)*shapeMemory
			}
			return 0
		},
		metrics: func() []telemetry.Metric {
			if s := running.Load(); s != nil {
				return consumerMetrics(s.Status())
			}
			return consumerMetrics(consumer.Status{})
		},
	}.run(ctx, out, c.streamFlags, c.required)
}

// What a value of a set and a shape take in a consumer's memory, with room.
const (
	valueMemory = 96
	shapeMemory = 2 << 10
)
