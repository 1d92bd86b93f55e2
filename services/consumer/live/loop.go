package live

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/tables"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// Config is what the main loop and those who work with it need.
type Config struct {
	Name         string // of this process
	Source       topology.Source
	NATS         *nats.Conn
	Checkpoint   time.Duration // between checkpoints while there is traffic
	PendingBytes int           // output held before it is appended
	RecentBytes  int           // change log kept in memory for shapes that join
	Nudge        time.Duration // how long the change log may stand still before those who wait for it make Postgres write something
	Snapshots    int           // batches of shapes created at once
	MostRows     int64         // of a shape, which ends beyond it; 0 is no limit
	Failpoint    func(failpoint.Point)
}

// Loop is the one goroutine that reads the change log for the live shapes, and what it owns. It
// lasts as long as the session: whatever goes wrong ends it, and the next one starts from what
// JetStream holds.
type Loop struct {
	Cfg       *Config
	Stats     *Stats
	Postgres  *Postgres
	Log       *slog.Logger
	JS        jetstream.JetStream
	Changes   *changelog.Log
	Shapes    *registry.Shapes
	Relations *registry.Relations
	Preparer  *tables.Preparer
	Parts     []*Partition
	lost      bool     // a partition's writer has failed and the partition has not been dropped yet; the main loop's
	infos     sync.Map // structure and files → *pg.TableInfo, one for all shapes of the table
	Tasks     *errgroup.Group
	Ctx       context.Context //nolint:containedctx // ends with the session; for work that outlives what started it
	enders    chan struct{}   // one token per ended shape that may be cleared away
	Sets      *valuesets.Sets
	Above     Above // set before the loop runs
	Began     int64 // when the session did; makes the names of what it makes differ from those of others

	Calls *service.Loop // runs functions on the main loop, which owns everything below

	shadows    map[string]*shadow                   // of inner shapes that other processes write, by handle
	verdictsOf map[int]chan struct{}                // closed when the verdicts of a partition are followed
	dependents map[string]map[*follow.Follower]bool // live outer shapes, by the handle of an inner one
	Selections Selections
	Records    map[string]Record          // by id, of shapes that have not ended
	ShapesOn   map[uint32]int             // how many of records are on a table, by its oid
	DependsOn  map[string]map[string]bool // ids of shapes, by the handle of an inner one
	Ended      map[string]time.Time       // when the shapes ended whose records are kept, by id
	FoldAsked  map[string]bool            // ids of shapes of which somebody has asked that their logs are folded
	Folded     map[string]bool            // ids of shapes whose logs were folded

	Router     *follow.Router
	Feed       *changelog.Feed
	Live       map[string]*follow.Follower // by id
	elsewhere  map[string]Owner            // who holds a shape that is not live, by id
	pins       map[string]changelog.Place  // where shapes that are being created start to read
	Visibility changelog.Visibility
	Recent     *changelog.Recent
	Finished   map[string]bool // handles that ended in this session

	proofs    changelog.Proofs
	snapshots int             // whose proofs were looked for so far; names them
	From      change.LSN      // the main loop began behind it
	Read      changelog.Place // the last message
	Applied   changelog.Place // the end of the last whole transaction, and the message that held it
	// Again is where reading began, until it has passed the furthest
	// checkpoint. Till then applied is ahead of what was read, and says nothing
	// of shapes that had no part in that checkpoint; so none is written.
	Again *changelog.Place
	Open  change.LSN         // of the transaction being read; 0 between transactions
	saved [2]changelog.Place // applied and floor of the last checkpoint
	// savedParked says that the last checkpoint named groups. One more has to
	// tell that there are none any more, however idle the database is.
	savedParked bool
	pruning     bool
	unpruned    bool // the last attempt to prune failed, which has been said
}

// NewLoop prepares a main loop. What is not of its own, the caller sets.
func NewLoop(cfg *Config, stats *Stats, log *slog.Logger) *Loop {
	live := Selections{}
	stats.Unindexed.Clear()
	return &Loop{
		Cfg: cfg, Stats: stats, Log: log,
		enders:     make(chan struct{}, endsAtOnce),
		Began:      time.Now().UnixNano(),
		Selections: live,
		shadows:    map[string]*shadow{},
		verdictsOf: map[int]chan struct{}{},
		dependents: map[string]map[*follow.Follower]bool{},
		Records:    map[string]Record{},
		ShapesOn:   map[uint32]int{},
		DependsOn:  map[string]map[string]bool{},
		Ended:      map[string]time.Time{},
		FoldAsked:  map[string]bool{},
		Folded:     map[string]bool{},
		Router:     follow.NewRouter(live.memberSets).Measure(stats.NewMeter()),
		Live:       map[string]*follow.Follower{},
		elsewhere:  map[string]Owner{},
		pins:       map[string]changelog.Place{},
		proofs:     changelog.Proofs{},
		Finished:   map[string]bool{},
		Recent:     changelog.NewRecent(cfg.RecentBytes),
	}
}

// Run runs main, and what it starts, until ctx ends or something fails.
func (s *Loop) Run(ctx context.Context, main func(context.Context) error) error {
	s.Tasks, ctx = errgroup.WithContext(ctx)
	s.Ctx, s.Calls = ctx, service.NewLoop(ctx)
	s.Tasks.Go(func() error { return main(ctx) })
	err := s.Tasks.Wait()
	s.CloseParts()
	return err
}
