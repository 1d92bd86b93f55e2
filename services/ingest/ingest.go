package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Ingest is the service; see the package comment. New makes one, Run runs it once.
type Ingest struct {
	cfg      Config
	counters counters
	watch    atomic.Pointer[health.Watch]
	slot     atomic.Pointer[slots.Info] // as Postgres said when it was asked last
	ready    chan struct{}
	once     sync.Once

	checked    bool // both servers have passed their checks
	unanswered int  // how often there was no JetStream
	hole       hole
}

// New checks cfg and does nothing else.
func New(cfg Config) (*Ingest, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	g := &Ingest{cfg: cfg.withDefaults(), ready: make(chan struct{})}
	g.counters.state = StateStarting
	return g, nil
}

// Ready is closed when Postgres has given the slot to this process for the
// first time. Status tells what it is doing now.
func (g *Ingest) Ready() <-chan struct{} { return g.ready }

// Status is cheap and may be called at any time.
func (g *Ingest) Status() Status {
	s := g.counters.status()
	s.SlotRetained, s.SlotSafe = -1, -1
	if slot := g.slot.Load(); slot != nil && slot.Exists {
		s.SlotWAL, s.SlotSafe = slot.WALStatus, slot.SafeBytes
		if slot.Lost() {
			s.SlotWAL = "lost"
		} else {
			s.SlotRetained = slot.RetainedBytes
		}
	}
	return s
}

// Outcomes of a session that are not trouble of their own.
var (
	errStandby      = errors.New("another process has the replication slot")
	errBackPressure = errors.New("JetStream has been refusing more for too long; the replication connection is closed for a while")
	errStopping     = errors.New("the Postgres server is shutting down")
	errRecovery     = errors.New("the Postgres server is a standby or recovers; ingest goes on once it is the primary")
)

// fatalError is trouble that only a person can end.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

func fatal(err error) error { return &fatalError{err} }

// Waits before another session.
const (
	standbyWait      = time.Second
	backPressureWait = 5 * time.Second
)

// Run streams until ctx ends, then publishes what it has, confirms what it may
// and returns nil. Lost connections, a slot that another process holds and a
// full JetStream are waited out. It returns an error only for what a person must
// fix; the error says how. Cancelling leaves nothing to repair.
func (g *Ingest) Run(ctx context.Context) error {
	defer g.counters.become(StateStopped)
	js, err := topology.JetStream(g.cfg.NATS, g.cfg.APIPrefix)
	if err != nil {
		return fmt.Errorf("ingest of source %s: %w", g.cfg.Source, err)
	}
	watch := health.NewWatch(js, g.cfg.Source.ChangeStream(), "KV_"+g.cfg.Source.RelationBucket())
	watch.Postgres = g.lookAtSlot
	g.watch.Store(watch)
	ctx, end := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { _ = watch.Run(ctx) }) // it returns nil
	defer looking.Wait()
	defer end()
	var wait service.Backoff
	var refusals service.Insist
	for {
		started := time.Now()
		err := g.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if f, ok := errors.AsType[*fatalError](err); ok {
			return fmt.Errorf("ingest of source %s: %w", g.cfg.Source, f.err)
		}
		if refusals.Final(err, time.Now()) {
			return fmt.Errorf("ingest of source %s: %w", g.cfg.Source, err)
		}
		wait.Lasted(time.Since(started))
		pause := service.Jitter(standbyWait)
		if errors.Is(err, errStandby) {
			if g.counters.become(StateStandby) {
				g.cfg.Log.InfoContext(ctx, "standing by: another process has the replication slot")
			}
		} else {
			pause = wait.Next()
			if errors.Is(err, errBackPressure) {
				pause = max(pause, service.Jitter(backPressureWait))
			}
			g.counters.Note(err)
			g.counters.become(StateBackOff)
			g.cfg.Log.WarnContext(ctx, "replication session ended, trying again", slog.Any("error", err), slog.Duration("pause", pause))
		}
		if !service.WaitFor(ctx, pause) {
			return nil
		}
	}
}
