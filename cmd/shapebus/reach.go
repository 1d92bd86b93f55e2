package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/topology"
)

// withJetStream hands do a connection of its own, for commands that speak to JetStream as a service does. do's context also
// ends when the server denies a subject; the error then says that.
func withJetStream(ctx context.Context, out *console, flags *natsFlags, role string, do func(context.Context, jetstream.JetStream) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	nc, err := flags.connect(out.log, role, cancel)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := topology.JetStream(nc, flags.APIPrefix)
	if err != nil {
		return err
	}
	err = do(ctx, js)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, nats.ErrPermissionViolation) {
		return cause
	}
	return err
}

// connectTo connects to Postgres, once.
func connectTo(ctx context.Context, url, role string) (*pgx.Conn, error) {
	cfg, err := pg.ParseConfig(url, role)
	if err != nil {
		return nil, err
	}
	return pg.Connect(ctx, cfg)
}
