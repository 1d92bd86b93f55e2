package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/gateway/console"
	"github.com/shapebus/shapebus/services/gateway/shapes"
)

// Gateway serves one source.
type Gateway struct {
	cfg     Config
	keeper  *shapes.Keeper
	subset  *subsets
	access  *gate
	limits  *limits
	console *console.Console // nil if it is off
	watch   *health.Watch
	ready   chan struct{}
	stop    chan struct{} // closed when answers that wait shall end
	count   counters
	fixed   fixed
	once    sync.Once
}

// counters are the figures of a gateway.
type counters struct {
	requests, refused, conflicts, errors atomic.Int64
	polls, streams                       atomic.Int64
	bytes, dropped, subsets              atomic.Int64
}

// Status is what a gateway does at a moment.
type Status struct {
	Shapes     int // followed
	CacheBytes int
	Polls      int64 // live requests that wait
	Streams    int64 // of server-sent events that are open
	Requests   int64 // of shapes since the start
	Refused    int64 // of these answered with a status of 400 to 499, but for 409
	Conflicts  int64 // of these answered with 409: the client begins again
	Errors     int64 // of these answered with a status of 500 or more
	Subsets    int64 // of these for subset snapshots
	Bytes      int64 // of bodies sent
	Dropped    int64 // clients that took nothing for too long
}

// New checks the configuration. It does no I/O.
func New(cfg Config) (*Gateway, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, ready: make(chan struct{}), stop: make(chan struct{}), limits: newLimits(&cfg)}
	g.keeper, err = shapes.New(shapes.Config{
		Source: cfg.Source, NATS: cfg.NATS, Log: cfg.Log, ChunkBytes: cfg.ChunkBytes, WindowBytes: cfg.WindowBytes,
		CacheBytes: cfg.CacheBytes, SendBytes: cfg.SendBytes, Buffer: 1 << 20, Idle: cfg.IdleShape, MaxShapes: cfg.MaxShapes,
		APIPrefix: cfg.APIPrefix, Tracer: cfg.Tracer,
	})
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.access, err = newGate(cfg.Access, cfg.Log); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.subset, err = newSubsets(&cfg); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.console, err = newConsole(&cfg); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.watch, err = newWatch(&cfg, g.subset); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.fix()
	return g, nil
}

// newWatch looks at what a gateway stands on: Postgres, if there is one for it, and the bucket of the source's shapes. It reads that
// bucket for each shape, so looking needs no right that it does not need anyway.
func newWatch(cfg *Config, postgres *subsets) (*health.Watch, error) {
	js, err := topology.JetStream(cfg.NATS, cfg.APIPrefix)
	if err != nil {
		return nil, err
	}
	w := health.NewWatch(js, "KV_"+cfg.Source.ShapeBucket())
	if postgres.config != nil {
		w.Postgres = postgres.ask
	}
	return w, nil
}

// newConsole makes the console, nil without a secret.
func newConsole(cfg *Config) (*console.Console, error) {
	switch {
	case cfg.ConsoleSecret == "" && cfg.ConsoleViewerSecret == "":
		return nil, nil
	case cfg.ConsoleSecret == "":
		return nil, errors.New("the console has a secret for viewers and none for who may do everything")
	case cfg.ConsoleSecret == cfg.Access.Secret, cfg.ConsoleViewerSecret != "" && cfg.ConsoleViewerSecret == cfg.Access.Secret:
		return nil, errors.New("the console has the same secret as clients: each of them could see everything")
	}
	return console.New(console.Config{
		Source: cfg.Source, NATS: cfg.NATS, APIPrefix: cfg.APIPrefix, Log: cfg.Log, Secret: cfg.ConsoleSecret, ViewerSecret: cfg.ConsoleViewerSecret, Version: cfg.Version,
	})
}

// Ready is closed once requests are answered.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Health is what the gateway knows of its own work now.
func (g *Gateway) Health() (f health.Facts) {
	select {
	case <-g.ready:
	default:
		f.Starting = "it does not listen yet"
	}
	g.watch.Into(&f)
	return f
}

// Status returns what the gateway does now.
func (g *Gateway) Status() Status {
	f, c := g.keeper.Figures(), &g.count
	return Status{
		Shapes: f.Shapes, CacheBytes: f.CacheBytes, Polls: c.polls.Load(), Streams: c.streams.Load(), Requests: c.requests.Load(),
		Refused: c.refused.Load(), Conflicts: c.conflicts.Load(), Errors: c.errors.Load(), Subsets: c.subsets.Load(),
		Bytes: c.bytes.Load(), Dropped: c.dropped.Load(),
	}
}

// Bounds of what a client may send before it is listened to.
const (
	maxHeader   = 96 << 10
	idleTimeout = 75 * time.Second
)

// Run serves until ctx ends. Then nothing new is accepted, answers that wait end at once, and others may take a while. It returns
// nil when ctx ended, and else what failed.
func (g *Gateway) Run(ctx context.Context) error {
	listener := g.cfg.Listener
	if listener == nil {
		var err error
		if listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", g.cfg.Address); err != nil {
			return fmt.Errorf("gateway: listen on %s: %w; choose another address", g.cfg.Address, err)
		}
	}
	defer g.subset.close()
	if err := errors.Join(g.access.start(ctx), g.subset.start(ctx)); err != nil {
		return errors.Join(fmt.Errorf("gateway: %w", err), listener.Close())
	}
	keeping, done := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	keeper.Go(func() { g.keeper.Run(keeping) })
	keeper.Go(func() { _ = g.watch.Run(keeping) }) // it has no errors
	if g.console != nil {
		keeper.Go(func() { g.console.Run(ctx) })
	}
	defer keeper.Wait()
	defer done()

	server := g.server(ctx)
	failed := make(chan error, 1)
	go func() {
		if g.cfg.TLS != nil {
			failed <- server.ServeTLS(listener, "", "")
			return
		}
		failed <- server.Serve(listener)
	}()
	close(g.ready)
	select {
	case err := <-failed:
		return fmt.Errorf("gateway: %w", err)
	case <-ctx.Done():
	}
	g.once.Do(func() { close(g.stop) })
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.StopWithin)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		return server.Close()
	}
	return nil
}

func (g *Gateway) server(ctx context.Context) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: g.Handler(), TLSConfig: g.cfg.TLS, Protocols: &protocols, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: g.cfg.HeadWithin, IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:    errorLog(g.cfg.Log),
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 1000, WriteByteTimeout: g.cfg.WriteWithin},
	}
}
