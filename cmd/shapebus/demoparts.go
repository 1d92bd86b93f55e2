package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/pg"
	"github.com/shapebus/shapebus/pkg/pgtemp"
)

// partPatience bounds the start of a part.
const partPatience = time.Minute

// demoParts are the processes that make up the system: Postgres, NATS and the services. start and stop are called one
// after the other; watch runs beside start.
type demoParts struct {
	database string         // connection string
	postgres *pgtemp.Server // nil when the database is somebody else's
	guest    *demoGuest     // nil when it is not

	natsURL      string
	nats         *demoChild
	ingest       *demoChild
	consumer     *demoChild
	materializer *demoChild

	started chan *demoChild // every child, for watch
}

func newDemoParts(database string) *demoParts {
	return &demoParts{database: database, started: make(chan *demoChild, 4)}
}

// start brings up everything, saying so.
func (p *demoParts) start(ctx context.Context, view *demoView) error {
	if err := p.startPostgres(ctx, view); err != nil {
		return err
	}
	if err := p.startNATS(ctx); err != nil {
		return err
	}
	view.say("NATS          %s", p.natsURL)
	var err error
	if p.ingest, err = p.service("ingest"); err != nil {
		return err
	}
	if p.consumer, err = p.service("consumer"); err != nil {
		return err
	}
	if p.materializer, err = p.service("materializer"); err != nil {
		return err
	}
	view.say("ingest        process %d", p.ingest.cmd.Process.Pid)
	view.say("consumer      process %d", p.consumer.cmd.Process.Pid)
	view.say("materializer  process %d", p.materializer.cmd.Process.Pid)
	return nil
}

func (p *demoParts) startPostgres(ctx context.Context, view *demoView) error {
	if p.database == "" {
		began := time.Now()
		server, err := pgtemp.Start(ctx, pgtemp.Options{})
		if err != nil {
			return err
		}
		p.postgres, p.database = server, server.URL("postgres")
		view.say("Postgres %-4d %s  (throw-away, started in %.1f s)", server.Version(), p.database, time.Since(began).Seconds())
		return nil
	}
	guest, err := newDemoGuest(ctx, p.database)
	if err != nil {
		return err
	}
	p.guest = guest
	view.say("Postgres      %s, schema %s", pg.Redact(p.database), demoSchema)
	return nil
}

func (p *demoParts) startNATS(ctx context.Context) error {
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
func (p *demoParts) service(name string) (*demoChild, error) {
	args := []string{name, "--listen=", "--log-level=warn", "--log-format=text", "--source", demoSource, "--sync-interval", devSyncInterval.String()}
	env := []string{"SHAPEBUS_NATS_URL=" + p.natsURL}
	if name != "materializer" { // which does not speak to Postgres
		args = append(args, "--publication", demoPublication, "--slot", demoSlot)
		env = append(env, "SHAPEBUS_DATABASE_URL="+p.database)
	}
	child, err := startChild(childOptions{name: name, args: args, env: env})
	if err == nil {
		p.started <- child
	}
	return child, err
}

// watch returns why a child ended that should not have.
func (p *demoParts) watch(ctx context.Context) error {
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
func (p *demoParts) stop(ctx context.Context) error {
	var errs []error
	for _, child := range []*demoChild{p.materializer, p.consumer, p.ingest} {
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
func (p *demoParts) connectDB(ctx context.Context) (*pgx.Conn, error) {
	return connectDemo(ctx, p.database)
}

func connectDemo(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := pg.ParseConfig(url, "demo")
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["search_path"] = demoSchema
	return pg.Connect(ctx, cfg)
}

// connectNATS opens a connection. The caller closes it.
func (p *demoParts) connectNATS(role string) (*nats.Conn, error) {
	nc, err := nats.Connect(p.natsURL, nats.Name("shapebus/demo "+role), nats.MaxReconnects(-1))
	if err != nil {
		return nil, fmt.Errorf("connect to the demo's NATS at %s: %w", p.natsURL, err)
	}
	return nc, nil
}
