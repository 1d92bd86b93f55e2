package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer"
	"github.com/shapebus/shapebus/services/gateway"
	"github.com/shapebus/shapebus/services/ingest"
	"github.com/shapebus/shapebus/services/materializer"
)

type devCmd struct {
	sourceFlags
	databaseFlags
	replicationFlags
	ingestTuning       `group:"Tuning:"`
	consumerTuning     `group:"Tuning:" set:"partitions=4"`
	materializerTuning `group:"Tuning:"`
	gatewayTuning      `group:"Tuning:"`

	DataDir       string `type:"path" help:"Directory that keeps the streams, and the throw-away Postgres, from one run to the next. Default: a temporary one, removed at the end."`
	NATSPort      int    `name:"nats-port" default:"0" help:"TCP port of NATS on 127.0.0.1. Default 0: 4222 if it is free, else a free one."`
	HTTPPort      int    `name:"http-port" default:"0" help:"TCP port of the gateway on 127.0.0.1. Default 0: 3000 if it is free, else a free one."`
	ConsoleSecret string `help:"What opens the console. Default: a random one, which is printed." restricts:""`
	PGPort        int    `name:"pg-port" default:"0" help:"TCP port of the throw-away Postgres on 127.0.0.1. Default 0: a free one."`

	tracer *tracing.Tracer // set by serve
}

// devSyncInterval is a little more than the embedded server's own.
const devSyncInterval = 2 * time.Second

// devStop bounds the clean-up at the end.
const devStop = 30 * time.Second

// Run starts what is missing, runs the services, and takes everything down again.
func (c *devCmd) Run(ctx context.Context, out *console) (err error) {
	source := topology.Source(c.Source)
	if c.ConsoleSecret == "" {
		c.ConsoleSecret = rand.Text()
	}
	servers, err := c.startServers(ctx, out.log)
	switch {
	case err != nil && ctx.Err() != nil: // stopped while it started
		return nil
	case err != nil:
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), devStop)
		defer cancel()
		err = errors.Join(err, servers.stop(ctx))
	}()
	err = c.serve(ctx, out, servers, source)
	return errors.Join(err, c.letGo(context.WithoutCancel(ctx), out, servers, source))
}

// serve runs the services until ctx ends or one fails.
func (c *devCmd) serve(ctx context.Context, out *console, servers *devServers, source topology.Source) error {
	ingestConn, err := servers.connect(out.log, "ingest")
	if err != nil {
		return err
	}
	defer ingestConn.Close()
	consumerConn, err := servers.connect(out.log, "consumer")
	if err != nil {
		return err
	}
	defer consumerConn.Close()
	materializerConn, err := servers.connect(out.log, "materializer")
	if err != nil {
		return err
	}
	defer materializerConn.Close()
	gatewayConn, err := servers.connect(out.log, "gateway")
	if err != nil {
		return err
	}
	defer gatewayConn.Close()
	traces, err := openTraces(ctx, os.Getenv, "dev", out.log)
	if err != nil {
		return err
	}
	defer closeTraces(ctx, traces)
	c.tracer = tracer(traces, source)
	web, listener, err := c.gateway(ctx, out.log, servers, source, gatewayConn)
	if err != nil {
		return err
	}
	defer listener.Close()
	in, con, err := c.services(out.log, servers, source, ingestConn, consumerConn)
	if err != nil {
		return err
	}
	mc := c.materializerTuning.config(1)
	mc.Source, mc.NATS, mc.Log, mc.Tracer, mc.SyncInterval = source, materializerConn, out.log, c.tracer, devSyncInterval
	mat, err := materializer.New(mc)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return in.Run(ctx) })
	group.Go(func() error {
		if !wait(ctx, in.Ready()) { // it makes the change log
			return nil
		}
		return con.Run(ctx)
	})
	group.Go(func() error {
		if !wait(ctx, con.Ready()) { // it sets the source up
			return nil
		}
		return mat.Run(ctx)
	})
	group.Go(func() error {
		if !wait(ctx, con.Ready()) {
			return nil
		}
		return web.Run(ctx)
	})
	group.Go(func() error {
		if !wait(ctx, mat.Ready()) || !wait(ctx, web.Ready()) {
			return nil
		}
		return servers.banner(out, source, "http://"+listener.Addr().String(), c.ConsoleSecret)
	})
	return group.Wait()
}

// wait reports whether ready was closed before ctx ended.
func wait(ctx context.Context, ready <-chan struct{}) bool {
	select {
	case <-ready:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *devCmd) services(log *slog.Logger, servers *devServers, source topology.Source, forIngest, forConsumer *nats.Conn) (*ingest.Ingest, *consumer.Consumer, error) {
	ic := c.ingestTuning.config(1)
	ic.Source, ic.DatabaseURL, ic.NATS, ic.Log, ic.Tracer = source, servers.database, forIngest, log, c.tracer
	ic.Publication, ic.Slot, ic.SyncInterval = c.Publication, c.Slot, devSyncInterval
	in, err := ingest.New(ic)
	if err != nil {
		return nil, nil, err
	}
	cc := c.consumerTuning.config(1)
	cc.Source, cc.DatabaseURL, cc.NATS, cc.Log, cc.Tracer = source, servers.database, forConsumer, log, c.tracer
	cc.Publication, cc.Slot, cc.SyncInterval = c.Publication, c.Slot, devSyncInterval
	con, err := consumer.New(cc)
	return in, con, err
}

// httpPort is where clients of shapes over HTTP look for a server.
const httpPort = 3000

// gateway prepares the gateway on the port asked for, or on its own if that is free.
func (c *devCmd) gateway(ctx context.Context, log *slog.Logger, servers *devServers, source topology.Source, nc *nats.Conn) (*gateway.Gateway, net.Listener, error) {
	port := c.HTTPPort
	if port == 0 && free(ctx, httpPort) {
		port = httpPort
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, nil, fmt.Errorf("listen for the gateway: %w; choose another --http-port", err)
	}
	cfg := c.gatewayTuning.config()
	cfg.Source, cfg.NATS, cfg.Log, cfg.DatabaseURL, cfg.Listener = source, nc, log, servers.database, listener
	cfg.ConsoleSecret, cfg.Tracer = c.ConsoleSecret, c.tracer
	web, err := gateway.New(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	return web, listener, nil
}

// letGo sees to the slot in a database that is not ours: with the streams gone it would only make Postgres keep WAL.
func (c *devCmd) letGo(ctx context.Context, out *console, servers *devServers, source topology.Source) error {
	if servers.postgres != nil {
		return nil
	}
	slot := c.of(source).Slot
	if c.DataDir != "" {
		out.log.WarnContext(ctx, "the slot stays, and Postgres keeps WAL for it until dev runs again with this --data-dir",
			slog.String("slot", slot), slog.String("to_drop_it", fmt.Sprintf("SELECT pg_drop_replication_slot(%s)", pg.Literal(slot))))
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, devStop)
	defer cancel()
	if err := slots.DropFreed(ctx, servers.database, slot); err != nil {
		return fmt.Errorf("drop replication slot %s, for which Postgres would keep WAL: %w; run SELECT pg_drop_replication_slot(%s)", slot, err, pg.Literal(slot))
	}
	return nil
}
