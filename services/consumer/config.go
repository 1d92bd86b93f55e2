package consumer

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/group/conns"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/plane/allow"
	"github.com/shapebus/shapebus/services/consumer/tables"
)

// Config is what a consumer needs. Zero values mean the defaults.
type Config struct {
	Source      topology.Source
	DatabaseURL string     // URL or key=value string, as libpq takes it; for snapshots and the catalog
	NATS        *nats.Conn // its connection; the caller closes it after Run
	APIPrefix   string     // of JetStream's subjects: a domain's behind a leaf node; default $JS.API
	Publication string     // default Source.Publication()
	Slot        string     // for status only; default Source.Slot()
	Partitions  int        // of a source that is used for the first time; default DefaultPartitions
	ShapeLogs   topology.ShapeLogConfig
	Version     string // shown in status

	Snapshots       int           // shapes created at once; default 4
	SnapshotBytes   int           // size of a segment's messages; default 256 KiB
	WindowBytes     int           // bytes in flight per partition; default 1 MiB
	Stall           time.Duration // how long others wait for a partition's stream that answers nothing; default 3 s
	PendingBytes    int           // output held before it is appended; default 2 MiB
	RecentBytes     int           // change log kept in memory for shapes that join; default 2 MiB
	Checkpoint      time.Duration // between checkpoints while there is traffic; default 1 s
	CatalogInterval time.Duration // between looks at the tables of shapes; default 5 s
	Retention       time.Duration // how long an ended shape's record and last word are kept; default 24 h
	SyncInterval    time.Duration // by which JetStream has written to disk what it acknowledged; default 130 s
	LockTimeout     time.Duration // for taking a table into the publication; default 5 s
	Nudge           time.Duration // how long the change log may stand still before those who wait for it make Postgres write something; default 3 s
	InnerGrace      time.Duration // how long an inner shape stays that nobody asked for and nothing depends on; default 30 s
	MaxShapes       int           // of the source that have not ended; 0 is no limit
	MaxClauseBytes  int64         // of the clauses and parameters of all of them; 0 is no limit
	MaxShapeRows    int64         // of one shape, which ends beyond it; 0 is no limit
	AllowTables     []string      // patterns of the tables that may be asked for (allow.Parse); none is all
	LeaveTables     bool          // no table is changed for a shape: its owner prepares it
	TableGrace      time.Duration // how long a table stays prepared on which no shape is any more; default 1 h, < 0 for ever

	FoldFactor float64       // a log is folded when it is so many times as large as its shape's rows; default 4, < 0 never unless asked
	FoldLeast  int64         // and larger than this; default 8 MiB
	Folds      int           // logs folded at once; default 2
	FoldGrace  time.Duration // how long what a fold replaces is kept for those who read it, and SyncInterval at least; default 1 h
	FoldEvery  time.Duration // between looks at which logs have to be folded; default 2 s

	Name string       // of this process, in leases; default host and pid
	Log  *slog.Logger // default: none

	Tracer *tracing.Tracer // of transactions; nil traces none

	// Failpoint, if not nil, is called at named points; crash tests die there.
	Failpoint func(failpoint.Point)
}

// DefaultPartitions is how many partitions a new source has that nobody chose a number for.
const DefaultPartitions = 8

// Consumer is one process's part in filling shape logs. See New.
type Consumer struct {
	cfg   Config
	log   *slog.Logger
	ready chan struct{}
	once  sync.Once // closes ready
	stats live.Stats
	down  downs
	harm  tables.Harm
	facts facts

	// Set by Run before anything uses them.
	pg     *live.Postgres
	conns  *conns.Pool
	shapes *registry.Shapes
	tables *tables.Preparer

	partitions atomic.Pointer[registry.Partitions] // of the source; nil before its record was read
}

// New checks the configuration and does nothing else.
func New(cfg Config) (*Consumer, error) {
	if _, err := topology.ParseSource(string(cfg.Source)); err != nil {
		return nil, err
	}
	if cfg.NATS == nil {
		return nil, errors.New("consumer: a NATS connection is needed")
	}
	if cfg.DatabaseURL == "" {
		return nil, errors.New("consumer: a database URL is needed, for snapshots")
	}
	if err := topology.CheckWriterPrefix(cfg.APIPrefix); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	if cfg.Partitions < 0 || cfg.Partitions > topology.MaxPartitions {
		return nil, fmt.Errorf("consumer: %d partitions; want 1 to %d", cfg.Partitions, topology.MaxPartitions)
	}
	if _, err := allow.Parse(cfg.AllowTables); err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	service.Default(&cfg.Publication, cfg.Source.Publication())
	service.Default(&cfg.Slot, cfg.Source.Slot())
	service.Default(&cfg.Partitions, DefaultPartitions)
	service.Default(&cfg.Snapshots, 4)
	service.Default(&cfg.SnapshotBytes, 256<<10)
	service.Default(&cfg.WindowBytes, 1<<20)
	service.Default(&cfg.Stall, 3*time.Second)
	service.Default(&cfg.PendingBytes, 2<<20)
	service.Default(&cfg.RecentBytes, 2<<20)
	service.Default(&cfg.Checkpoint, time.Second)
	service.Default(&cfg.CatalogInterval, 5*time.Second)
	service.Default(&cfg.Retention, 24*time.Hour)
	service.Default(&cfg.LockTimeout, 5*time.Second)
	service.Default(&cfg.Nudge, 3*time.Second)
	service.Default(&cfg.InnerGrace, 30*time.Second)
	service.Default(&cfg.TableGrace, time.Hour)
	service.Default(&cfg.SyncInterval, 130*time.Second)
	service.Default(&cfg.FoldFactor, 4)
	service.Default(&cfg.FoldLeast, 8<<20)
	service.Default(&cfg.Folds, 2)
	service.Default(&cfg.FoldGrace, time.Hour)
	service.Default(&cfg.FoldEvery, 2*time.Second)
	service.Default(&cfg.Name, service.ProcessName())
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Failpoint == nil {
		cfg.Failpoint = failpoint.Never
	}
	log := cfg.Log.With(slog.String("service", "consumer"), slog.String("source", string(cfg.Source)))
	return &Consumer{cfg: cfg, log: log, ready: make(chan struct{}), down: downs{told: map[int]string{}}}, nil
}

// Ready is closed once the control plane answers.
func (c *Consumer) Ready() <-chan struct{} { return c.ready }

// Status is a consumer's own view, for metrics.
type Status struct {
	Owned      int64 // partitions held
	Moves      int64 // partitions taken and handed over
	Applied    uint64
	Unread     uint64           // change log messages not yet read
	Live       int64            // shapes
	Unindexed  map[string]int64 // of these, by table, those that every change is offered to
	Parked     int64            // shapes being created
	Messages   int64            // change log messages read
	Ops        int64
	Appended   int64 // shape log messages
	AppendedB  int64 // bytes of them
	Retries    int64
	Units      int64 // opened for shapes with subqueries
	Aborts     int64 // logs of which an unfinished unit or transaction was aborted
	Reread     int64 // rows read back because their membership may have changed
	Values     int64 // that subqueries select, each once for all shapes that share the subquery
	LastError  string
	Partitions int      // of the source
	Poison     int64    // stored messages met that cannot be understood; what they concern ended
	Drops      int64    // times that a partition could not be written any more
	Down       []Down   // partitions that cannot be written now; their shapes wait
	Costly     int64    // shapes that ended because a change would have cost too much
	CostlyLast []string // handles of the last of them
	Folding    int64    // logs being folded
	Folds      int64    // logs folded
	FoldFails  int64    // attempts that failed
	FoldRows   int64    // rows read for folds
	// How far behind the main loop is; see lag.
	LagBytes int64
	Lag      time.Duration
	// When a change log message was read, a shape log's message appended, and acknowledged; zero if none was.
	HeardAt, WroteAt, StoredAt time.Time
	Harm                       []string // writes of the application that fail because of shapes, which only a person can end
}

// Status returns the present figures. It is cheap.
func (c *Consumer) Status() Status {
	costly, last := c.stats.Costly.Get()
	lagBytes, lag := c.lag(time.Now())
	return Status{
		Owned: c.stats.Owned.Load(), Moves: c.stats.Moves.Load(), Applied: c.stats.Applied.Load(), Unread: c.stats.Unread.Load(),
		Live: c.stats.Live.Load(), Unindexed: c.stats.Unindexed.Load(), Parked: c.stats.Parked.Load(), Messages: c.stats.Messages.Load(), Ops: c.stats.Ops.Load(),
		Appended: c.stats.Appended.Load(), AppendedB: c.stats.Bytes.Load(), Retries: c.stats.Retries.Load(),
		Units: c.stats.Units.Load(), Aborts: c.stats.Aborts.Load(), Reread: c.stats.Reread.Load(), Values: c.stats.Values.Load(), LastError: c.stats.Last(), Partitions: c.partitions.Load().Count(),
		Folding: c.stats.Folding.Load(), Folds: c.stats.Folds.Load(), FoldFails: c.stats.FoldFail.Load(), FoldRows: c.stats.FoldRows.Load(),
		Poison: c.stats.Poison.Load(), Drops: c.stats.Drops.Load(), Down: c.down.get(), Harm: c.harm.Get(), Costly: costly, CostlyLast: last,
		LagBytes: lagBytes, Lag: lag, HeardAt: c.stats.Heard.Last(), WroteAt: c.stats.Wrote.Last(), StoredAt: c.stats.Stored.Last(),
	}
}
