package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/pgtemp"
)

// syncInterval is a little more than that of the demo's NATS.
const syncInterval = 2 * time.Second

// partPatience bounds the start of a part.
const partPatience = time.Minute

// processes are the processes that make up the system: Postgres, NATS and the services. start and stop are called one
// after the other; watch runs beside start.
type processes struct {
	database string         // connection string
	postgres *pgtemp.Server // nil when the database is somebody else's
	guest    *guest         // nil when it is not

	natsURL      string
	nats         *child
	ingest       *child
	consumer     *child
	second       *child // another consumer, which shares the partitions until it goes
	materializer *child

	started chan *child // every child, for watch
}

func newProcesses(database string) *processes {
	return &processes{database: database, started: make(chan *child, 5)}
}

// start brings up everything, saying so.
func (p *processes) start(ctx context.Context, out *screen) error {
	if err := p.startPostgres(ctx, out); err != nil {
		return err
	}
	if err := p.startNATS(ctx); err != nil {
		return err
	}
	out.say("NATS          %s", p.natsURL)
	var err error
	if p.ingest, err = p.service("ingest"); err != nil {
		return err
	}
	if p.consumer, err = p.service("consumer"); err != nil {
		return err
	}
	if p.second, err = p.service("consumer"); err != nil {
		return err
	}
	if p.materializer, err = p.service("materializer"); err != nil {
		return err
	}
	out.say("ingest        process %d", p.ingest.cmd.Process.Pid)
	out.say("consumers     processes %d and %d share the partitions", p.consumer.cmd.Process.Pid, p.second.cmd.Process.Pid)
	out.say("materializer  process %d", p.materializer.cmd.Process.Pid)
	return nil
}

func (p *processes) startPostgres(ctx context.Context, out *screen) error {
	if p.database == "" {
		began := time.Now()
		server, err := pgtemp.Start(ctx, pgtemp.Options{})
		if err != nil {
			return err
		}
		p.postgres, p.database = server, server.URL("postgres")
		out.say("Postgres %-4d %s  (throw-away, started in %.1f s)", server.Version(), p.database, time.Since(began).Seconds())
		return nil
	}
	guest, err := newGuest(ctx, p.database)
	if err != nil {
		return err
	}
	p.guest = guest
	out.say("Postgres      %s, schema %s", pg.Redact(p.database), schemaName)
	return nil
}

func (p *processes) startNATS(ctx context.Context) error {
	out := newFirstLine()
	child, err := startChild(childOptions{name: "NATS", args: []string{"demo", "--nats-only", "--log-level=warn"}, stdout: out, orphan: true})
	if err != nil {
		return err
	}
	p.nats = child
	p.started <- child
	ctx, cancel := context.WithTimeoutCause(ctx, partPatience, fmt.Errorf("NATS has not started after %s", partPatience))
	defer cancel()
	select {
	case p.natsURL = <-out.line:
		return nil
	case <-child.done:
		return cmp.Or(child.failure(), errors.New("NATS was stopped while it started"))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// service starts a service. Addresses may hold secrets: they go by environment, which other users cannot read.
func (p *processes) service(name string) (*child, error) {
	args := []string{name, "--listen=", "--log-level=warn", "--log-format=text", "--source", sourceName, "--sync-interval", syncInterval.String()}
	env := []string{"SHAPEBUS_NATS_URL=" + p.natsURL}
	if name != "materializer" { // which does not speak to Postgres
		args = append(args, "--publication", publicationName, "--slot", slotName)
		env = append(env, "SHAPEBUS_DATABASE_URL="+p.database)
	}
	child, err := startChild(childOptions{name: name, args: args, env: env})
	if err == nil {
		p.started <- child
	}
	return child, err
}

// watch returns why a child ended that should not have.
func (p *processes) watch(ctx context.Context) error {
	failed := make(chan error, cap(p.started))
	for {
		select {
		case <-ctx.Done():
			return nil
		case child := <-p.started:
			go func() {
				<-child.done
				failed <- child.failure()
			}()
		case err := <-failed:
			if err != nil {
				return err
			}
		}
	}
}

// stop takes down what was started, in the order of the flow, and removes what it left.
func (p *processes) stop(ctx context.Context) error {
	var errs []error
	for _, child := range []*child{p.materializer, p.second, p.consumer, p.ingest} {
		if child != nil {
			errs = append(errs, child.stop(ctx))
		}
	}
	if p.guest != nil {
		errs = append(errs, p.guest.leave(ctx))
	}
	if p.nats != nil {
		errs = append(errs, p.nats.stop(ctx))
	}
	if p.postgres != nil {
		errs = append(errs, p.postgres.Stop(ctx))
	}
	return errors.Join(errs...)
}

// connectDB opens a connection that finds the demo's tables without their schema. The caller closes it.
func (p *processes) connectDB(ctx context.Context) (*pgx.Conn, error) {
	return connect(ctx, p.database)
}

func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := pg.ParseConfig(url, "demo")
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["search_path"] = schemaName
	return pg.Connect(ctx, cfg)
}

// connectNATS opens a connection. The caller closes it.
func (p *processes) connectNATS(role string) (*nats.Conn, error) {
	nc, err := nats.Connect(p.natsURL, nats.Name("shapebus/demo "+role), nats.MaxReconnects(-1))
	if err != nil {
		return nil, fmt.Errorf("connect to the demo's NATS at %s: %w", p.natsURL, err)
	}
	return nc, nil
}
