package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
)

const source = topology.Source("test")

// bench is a NATS server with the shape streams of one partition, their one
// writer, a control plane that says what the test tells it, and a client.
type bench struct {
	tb     testing.TB
	server *natsembed.Server
	writes *nats.Conn // the writer's and the control plane's
	nc     *nats.Conn // the client's
	js     jetstream.JetStream
	client *client.Client
	app    *stream.Appender
	made   int
	mute   func() // stops the control plane

	conflict func() bool // whether a creation is refused for now; called by the control plane

	mu     sync.Mutex
	shapes map[string]control.Shape // by handle; guarded by mu
	create func(control.CreateRequest) (control.Shape, error)
}

func newBench(tb testing.TB, opts natsembed.Options) *bench {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs JetStream; not in -short")
	}
	if opts.Dir == "" {
		opts.Dir = tb.TempDir()
	}
	server, err := natsembed.Start(opts)
	ok(tb, err)
	tb.Cleanup(server.Stop)
	return newBenchOn(tb, server, func(o ...nats.Option) (*nats.Conn, error) { return server.Connect(o...) })
}

func newBenchOn(tb testing.TB, server *natsembed.Server, connect func(...nats.Option) (*nats.Conn, error)) *bench {
	tb.Helper()
	b := &bench{tb: tb, server: server, shapes: make(map[string]control.Shape)}
	conn := func() *nats.Conn {
		nc, err := connect()
		ok(tb, err)
		tb.Cleanup(nc.Close)
		return nc
	}
	b.writes, b.nc = conn(), conn()
	var err error
	b.js, err = jetstream.New(b.writes)
	ok(tb, err)
	ok(tb, source.EnsureShapeLogs(tb.Context(), b.js, 1, topology.ShapeLogConfig{}))
	b.openAppender()
	tb.Cleanup(func() { b.app.Close() })
	b.client, err = client.New(b.nc, string(source))
	ok(tb, err)
	b.serve()
	return b
}

func (b *bench) openAppender() {
	app, err := stream.OpenAppender(b.tb.Context(), b.writes, source.ShapeStream(0), stream.AppenderConfig{})
	ok(b.tb, err)
	b.app = app
}

// serve answers the control plane's requests.
func (b *bench) serve() {
	svc, err := micro.AddService(b.writes, micro.Config{Name: control.ServiceName, Version: "0.0.1"})
	ok(b.tb, err)
	b.tb.Cleanup(func() { _ = svc.Stop() })
	b.mute = func() { ok(b.tb, svc.Stop()) }
	g := svc.AddGroup(source.ControlPlane())
	ok(b.tb, g.AddEndpoint("create", micro.HandlerFunc(func(r micro.Request) {
		var req control.CreateRequest
		if err := json.Unmarshal(r.Data(), &req); err != nil {
			_ = r.Error(control.CodeBadRequest, err.Error(), nil)
			return
		}
		if b.conflict != nil && b.conflict() {
			_ = r.Error(control.CodeConflict, "it is being cleared away", nil)
			return
		}
		b.mu.Lock()
		f := b.create
		b.mu.Unlock()
		if f == nil {
			_ = r.Error(control.CodeBadRequest, "table "+req.Table+" does not exist", nil)
			return
		}
		s, err := f(req)
		if refused, ok := errors.AsType[*client.RequestError](err); ok {
			_ = r.Error(refused.Code, refused.Text, nil)
			return
		}
		if err != nil {
			_ = r.Error(control.CodeUnavailable, err.Error(), nil)
			return
		}
		_ = r.RespondJSON(s)
	}), micro.WithEndpointSubject(control.EndpointCreate)))
	ok(b.tb, g.AddEndpoint("get", micro.HandlerFunc(func(r micro.Request) {
		var req control.ShapeRequest
		_ = json.Unmarshal(r.Data(), &req)
		b.mu.Lock()
		s, found := b.shapes[req.Shape]
		b.mu.Unlock()
		if !found {
			_ = r.Error(control.CodeNotFound, "no shape "+req.Shape, nil)
			return
		}
		_ = r.RespondJSON(s)
	}), micro.WithEndpointSubject(control.EndpointGet)))
	ok(b.tb, g.AddEndpoint("list", micro.HandlerFunc(func(r micro.Request) {
		var req control.ListRequest
		_ = json.Unmarshal(r.Data(), &req)
		if req.After == "" {
			_ = r.RespondJSON(control.ListResponse{Shapes: []control.Shape{{ID: "a"}, {ID: "b"}}, More: true})
			return
		}
		_ = r.RespondJSON(control.ListResponse{Shapes: []control.Shape{{ID: req.After + "c"}}})
	}), micro.WithEndpointSubject(control.EndpointList)))
	ok(b.tb, b.writes.Flush())
}

// know tells the control plane of a shape.
func (b *bench) know(s control.Shape) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shapes[s.Handle] = s
}

func (b *bench) forget(handle string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.shapes, handle)
}

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// remake deletes the stream and makes it again, and writes to it some messages of another log
// first, so that sequence numbers differ.
func (b *bench) remake(others int) {
	b.tb.Helper()
	ctx := context.Background()
	b.app.Close()
	ok(b.tb, b.js.DeleteStream(ctx, source.ShapeStream(0)))
	// A server may still be removing what it has deleted, and refuses until that is done.
	err := source.EnsureShapeLogs(ctx, b.js, 1, topology.ShapeLogConfig{})
	for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); {
		err = source.EnsureShapeLogs(ctx, b.js, 1, topology.ShapeLogConfig{})
	}
	ok(b.tb, err)
	b.openAppender()
	if others > 0 {
		other := b.newLog(columns, true)
		other.snapshot(1)
		for range others {
			other.write()
		}
	}
}
