package consumer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/tables"
	"github.com/shapebus/shapebus/services/consumer/valuesets"
)

// loopConfig is what the main loop and those who work with it need.
type loopConfig struct {
	Name         string // of this process
	Source       topology.Source
	NATS         *nats.Conn
	Checkpoint   time.Duration // between checkpoints while there is traffic
	PendingBytes int           // output held before it is appended
	RecentBytes  int           // change log kept in memory for shapes that join
	Nudge        time.Duration // how long the change log may stand still before those who wait for it make Postgres write something
	Snapshots    int           // batches of shapes created at once
	Failpoint    func(name string)
}

// mainLoop is the one goroutine that reads the change log for the live shapes, and what it owns. It
// lasts as long as the session: whatever goes wrong ends it, and the next one starts from what
// JetStream holds.
type mainLoop struct {
	cfg       *loopConfig
	stats     *stats
	pg        *postgres
	log       *slog.Logger
	js        jetstream.JetStream
	changes   *changelog.Log
	shapes    *registry.Shapes
	relations *registry.Relations
	preparer  *tables.Preparer
	parts     []*partition
	lost      bool     // a partition's writer has failed and the partition has not been dropped yet; the main loop's
	infos     sync.Map // structure and files → *pg.TableInfo, one for all shapes of the table
	tasks     *errgroup.Group
	ctx       context.Context //nolint:containedctx // ends with the session; for work that outlives what started it
	enders    chan struct{}   // one token per ended shape that may be cleared away
	sets      *valuesets.Sets
	above     above
	began     int64 // when the session did; makes the names of what it makes differ from those of others

	calls *service.Loop // runs functions on the main loop, which owns everything below

	verdictsOf map[int]chan struct{}                // closed when the verdicts of a partition are followed
	dependents map[string]map[*follow.Follower]bool // live outer shapes, by the handle of an inner one
	liveSets   liveSets
	records    map[string]record          // by id, of shapes that have not ended
	shapesOn   map[uint32]int             // how many of records are on a table, by its oid
	dependsOn  map[string]map[string]bool // ids of shapes, by the handle of an inner one
	ended      map[string]time.Time       // when the shapes ended whose records are kept, by id

	router     *follow.Router
	feed       *changelog.Feed
	live       map[string]*follow.Follower // by id
	elsewhere  map[string]owner            // who holds a shape that is not live, by id
	pins       map[string]changelog.Place  // where shapes that are being created start to read
	visibility changelog.Visibility
	recent     *changelog.Recent
	finished   map[string]bool // handles that ended in this session

	proofs    changelog.Proofs
	snapshots int             // whose proofs were looked for so far; names them
	read      changelog.Place // the last message
	applied   changelog.Place // the end of the last whole transaction, and the message that held it
	// again is where reading began, until it has passed the furthest
	// checkpoint. Till then applied is ahead of what was read, and says nothing
	// of shapes that had no part in that checkpoint; so none is written.
	again *changelog.Place
	open  change.LSN         // of the transaction being read; 0 between transactions
	saved [2]changelog.Place // applied and floor of the last checkpoint
	// savedParked says that the last checkpoint named groups. One more has to
	// tell that there are none any more, however idle the database is.
	savedParked bool
	pruning     bool
}

// newMainLoop prepares a main loop. What is not of its own, the caller sets.
func newMainLoop(cfg *loopConfig, stats *stats, log *slog.Logger) *mainLoop {
	live := liveSets{}
	return &mainLoop{
		cfg: cfg, stats: stats, log: log,
		enders:     make(chan struct{}, endsAtOnce),
		began:      time.Now().UnixNano(),
		liveSets:   live,
		verdictsOf: map[int]chan struct{}{},
		dependents: map[string]map[*follow.Follower]bool{},
		records:    map[string]record{},
		shapesOn:   map[uint32]int{},
		dependsOn:  map[string]map[string]bool{},
		ended:      map[string]time.Time{},
		router:     follow.NewRouter(live.memberSets),
		live:       map[string]*follow.Follower{},
		elsewhere:  map[string]owner{},
		pins:       map[string]changelog.Place{},
		proofs:     changelog.Proofs{},
		finished:   map[string]bool{},
		recent:     changelog.NewRecent(cfg.RecentBytes),
		above:      nobody{},
	}
}

// run runs main, and what it starts, until ctx ends or something fails.
func (s *mainLoop) run(ctx context.Context, main func(context.Context) error) error {
	s.tasks, ctx = errgroup.WithContext(ctx)
	s.ctx, s.calls = ctx, service.NewLoop(ctx)
	s.tasks.Go(func() error { return main(ctx) })
	err := s.tasks.Wait()
	s.closeParts()
	return err
}
