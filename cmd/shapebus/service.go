package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
)

// serviceFlags are what a service that speaks to Postgres needs.
type serviceFlags struct {
	databaseFlags
	replicationFlags
	streamFlags
}

// streamFlags are what every service needs.
type streamFlags struct {
	sourceFlags

	NATS            natsFlags     `embed:"" group:"NATS:"`
	Replicas        int           `default:"1" help:"Copies that a NATS cluster keeps of each stream, 1 to 5 (default ${default})."`
	CredentialGrace time.Duration `default:"5m" help:"How long a service that has worked waits for credentials that are right, once Postgres or NATS refuse those it has: files are read again at each connection (default ${default})."`
	SyncInterval    time.Duration `default:"2m10s" help:"How long JetStream may keep an acknowledged message before it is on disk: the NATS servers' sync_interval and a margin. Postgres may recycle WAL, and the change log be trimmed, that much later (default ${default})."`
}

// dependencies are what a service is built from.
type dependencies struct {
	source    topology.Source
	database  string
	nats      *nats.Conn
	log       *slog.Logger
	failpoint func(failpoint.Point)
	tracer    *tracing.Tracer // nil where no traces are sent
}

// service is a role while it runs: what it does and what it says of itself.
type service struct {
	role    string
	listen  string                                                  // address of the health endpoint; "" for none
	grows   bool                                                    // its memory grows with what it holds, so there is no limit to it
	held    func() int64                                            // bytes that it holds beside its work, for the memory limit; nil for none
	build   func(dependencies) (func(context.Context) error, error) // makes the service and returns its Run
	facts   func() (facts health.Facts, ok bool)                    // what it knows of its own work; not ok before build
	metrics func() []telemetry.Metric                               // also before build, then zeros
}

// run builds the service's dependencies and runs it until ctx ends or it fails. Its failure is in the log.
// database is nil for a service that needs none.
func (s service) run(ctx context.Context, out *console, flags streamFlags, database func() (string, error)) error {
	if s.grows {
		paceMemory()
	} else {
		limitMemory()
	}
	deps, err := flags.dependencies(out, database)
	if err == nil {
		deps.failpoint, err = dieAt(failpoint.Service(s.role), os.Getenv(failpointVariable), out.stderr)
	}
	if err != nil {
		return err
	}
	log := out.log.With(slog.String("service", s.role), slog.String("source", string(deps.source)))
	traces, err := openTraces(ctx, os.Getenv, s.role, log)
	if err != nil {
		return err
	}
	defer closeTraces(ctx, traces)
	deps.tracer = tracer(traces, deps.source)
	own := s.metrics
	s.metrics = func() []telemetry.Metric { return append(own(), traces.Metrics()...) }
	if err := s.work(ctx, log, flags, deps); err != nil && ctx.Err() == nil {
		log.ErrorContext(ctx, "stopped by an error", slog.Any("error", err))
		return errReported
	}
	log.InfoContext(ctx, "stopped as asked")
	return nil
}

// dependencies checks the flags; the connection is left for later.
func (f streamFlags) dependencies(out *console, database func() (string, error)) (dependencies, error) {
	url := ""
	if database != nil {
		var err error
		if url, err = database(); err != nil {
			return dependencies{}, err
		}
	}
	return dependencies{source: topology.Source(f.Source), database: url, log: out.log}, nil
}

// work serves health from the start, because waiting for NATS is no reason to be killed.
func (s service) work(ctx context.Context, log *slog.Logger, flags streamFlags, deps dependencies) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	group, ctx := errgroup.WithContext(ctx)
	if !s.grows {
		group.Go(func() error { raiseMemory(ctx, s.held); return nil })
	}
	var connected atomic.Bool
	var grace grace
	address := ""
	if s.listen != "" {
		listening, err := s.health(ctx, log, deps.source, &connected, &grace)
		if err != nil {
			return err
		}
		address = listening.Addr()
		group.Go(func() error { return listening.Serve(ctx) })
	}
	group.Go(func() error {
		for {
			err := s.session(ctx, log, flags, deps, &connected, &grace, address)
			if err == nil || ctx.Err() != nil {
				return errEnded // ends the health endpoint too
			}
			wait := grace.waits(err, connected.Swap(false), flags.CredentialGrace, time.Now())
			closed, ok := errors.AsType[*closedError](err)
			switch {
			case ok:
				log.ErrorContext(ctx, "the connection to NATS was closed for good; opening another", slog.Any("error", closed.err))
			case wait:
				log.ErrorContext(ctx, "the credentials are refused; reading them again", slog.Any("error", err), slog.Duration("grace", flags.CredentialGrace))
			default:
				return err
			}
			select {
			case <-ctx.Done():
				return errEnded
			case <-time.After(natsRetry):
			}
		}
	})
	group.Go(func() error {
		tick := time.NewTicker(natsRetry)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case now := <-tick.C:
				if facts, ok := s.facts(); ok {
					if err := denied(facts, flags.CredentialGrace, now); err != nil {
						return err
					}
				}
			}
		}
	})
	return group.Wait()
}

// session runs the service on one connection to NATS. A *closedError says that the connection is over, and that another may do.
func (s service) session(ctx context.Context, log *slog.Logger, flags streamFlags, deps dependencies, connected *atomic.Bool, grace *grace, address string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	nc, err := flags.NATS.await(ctx, log, s.role, func(err error) { cancel(&closedError{err}) })
	if err != nil {
		return err
	}
	defer nc.Close()
	deps.nats = nc
	if deps.database != "" {
		if err := requireDatabase(ctx, log, deps.database, s.role); err != nil {
			return err
		}
	}
	run, err := s.build(deps)
	if err != nil {
		return err
	}
	what := []any{slog.String("version", versionText()), slog.String("nats", nc.ConnectedUrlRedacted()), slog.String("listen", address)}
	if deps.database != "" {
		what = append(what, slog.String("database", pg.Redact(deps.database)))
	}
	log.InfoContext(ctx, "started", what...)
	connected.Store(true)
	grace.works()
	err = run(ctx)
	if closed, ok := errors.AsType[*closedError](context.Cause(ctx)); ok {
		return closed // whatever the service says of it
	}
	if err != nil && nc.IsClosed() {
		return &closedError{err}
	}
	return err
}

// closedError says why the server or the client closed the connection to NATS, which does not come back then. A server does
// it, for example, when its max_payload was lowered and a larger message comes: what it takes is known from the next connection.
type closedError struct{ err error }

func (e *closedError) Error() string { return e.err.Error() }
func (e *closedError) Unwrap() error { return e.err }

// requireDatabase returns the errors of connecting to Postgres that waiting does not cure, such as a wrong password. The
// services themselves go on trying.
func requireDatabase(ctx context.Context, log *slog.Logger, url, role string) error {
	cfg, err := pg.ParseConfig(url, role)
	if err != nil {
		return err
	}
	conn, err := pg.Connect(ctx, cfg)
	if err == nil {
		return conn.Close(ctx)
	}
	if refused, ok := errors.AsType[*pg.ConnectError](err); ok && !refused.Temporary() {
		return err
	}
	log.WarnContext(ctx, "waiting for Postgres", slog.Any("error", err))
	return nil
}

// errEnded is a service that has ended without an error of its own.
var errEnded = errors.New("the service has ended")

func (s service) health(ctx context.Context, log *slog.Logger, source topology.Source, connected *atomic.Bool, grace *grace) (*telemetry.Listening, error) {
	registry, err := telemetry.Registry(versionText(), map[string]string{"source": string(source)}, s.metrics)
	if err != nil {
		return nil, err
	}
	ready := func() error {
		facts, ok := s.facts()
		if why := grace.why(); why != nil {
			return why
		}
		if !connected.Load() || !ok {
			return errors.New("waiting for NATS")
		}
		return facts.Ready(time.Now())
	}
	alive := func() error {
		facts, ok := s.facts()
		if !ok {
			return nil
		}
		return facts.Alive(time.Now())
	}
	listening, err := telemetry.Health{Alive: alive, Ready: ready, Metrics: registry, Log: log}.Listen(ctx, s.listen)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another address with --listen, or --listen= for none", err)
	}
	return listening, nil
}

// healthOf asks a service that runs, if there is one already.
func healthOf[T any, S interface {
	*T
	Health() health.Facts
}](s S) (health.Facts, bool) {
	if s == nil {
		return health.Facts{}, false
	}
	return s.Health(), true
}
