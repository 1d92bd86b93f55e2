// Package stack runs the whole of Shapebus in the test's process: a database
// of its own on a throw-away Postgres, JetStream, ingest, consumer and materializer. Tests
// that kill processes use the built binary instead (package e2e/crash).
package stack

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer"
	"github.com/shapebus/shapebus/services/gateway"
	"github.com/shapebus/shapebus/services/ingest"
	"github.com/shapebus/shapebus/services/materializer"
)

// Timeout bounds every wait of a test: three times what a busy machine has been seen to need.
const Timeout = 90 * time.Second * slower

// innerGrace is short, for tests in which inner shapes go. However busy the machine, the outer shape
// of a request has to follow its inner one within it.
const innerGrace = time.Second

// Stack is a running Shapebus. Its services stop with the test.
type Stack struct {
	TB     testing.TB
	Source topology.Source
	URL    string    // of the database
	DB     *pgx.Conn // for the test's own statements
	NATS   *natsembed.Server
	NC     *nats.Conn
	JS     jetstream.JetStream
	Client *client.Client

	// Reach connects to the server; nil is by NATS.
	Reach func(...nats.Option) (*nats.Conn, error)

	Ingest       ingest.Config       // for StartIngest
	Consumer     consumer.Config     // for StartConsumer
	Materializer materializer.Config // for StartMaterializer
	Gateway      gateway.Config      // for StartGateway
}

// New prepares a stack and starts no service. schema is run in the database.
func New(tb testing.TB, schema string) *Stack {
	tb.Helper()
	return On(tb, pgtest.Database(tb), schema)
}

// On is New in a database of the caller's.
func On(tb testing.TB, url, schema string) *Stack {
	tb.Helper()
	return with(tb, url, schema, natstest.Start(tb))
}

// WithNATS is New on a NATS server of the caller's. If it has a listener, services reach it there, and
// find another one that takes its place.
func WithNATS(tb testing.TB, schema string, server *natsembed.Server) *Stack {
	tb.Helper()
	return with(tb, pgtest.Database(tb), schema, server)
}

// Reaching is New on a NATS server that is none of natsembed's.
func Reaching(tb testing.TB, schema string, reach func(...nats.Option) (*nats.Conn, error)) *Stack {
	tb.Helper()
	return prepare(&Stack{TB: tb, URL: pgtest.Database(tb), Reach: reach}, schema)
}

func with(tb testing.TB, url, schema string, server *natsembed.Server) *Stack {
	tb.Helper()
	return prepare(&Stack{TB: tb, URL: url, NATS: server}, schema)
}

func prepare(s *Stack, schema string) *Stack {
	tb := s.TB
	tb.Helper()
	s.Source = topology.Source(fmt.Sprintf("t%08x", rand.Uint32())) // slot names are the whole cluster's, so every stack has its own
	s.DB = s.Connect()
	s.Exec(schema)
	s.Dial()
	log := slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	s.Ingest = ingest.Config{Source: s.Source, DatabaseURL: s.URL, SyncInterval: 10 * time.Millisecond, Log: log}
	s.Consumer = consumer.Config{Source: s.Source, DatabaseURL: s.URL, Partitions: 8, Checkpoint: 50 * time.Millisecond, CatalogInterval: 200 * time.Millisecond, SyncInterval: 100 * time.Millisecond, InnerGrace: innerGrace, Log: log}
	s.Materializer = materializer.Config{Source: s.Source, AckInterval: 20 * time.Millisecond, TrimInterval: 200 * time.Millisecond, SyncInterval: 100 * time.Millisecond, Log: log}
	s.Gateway = gateway.Config{Source: s.Source, DatabaseURL: s.URL, Log: log}
	return s
}

// Start prepares a stack and starts its services.
func Start(tb testing.TB, schema string) *Stack {
	tb.Helper()
	s := New(tb, schema)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	return s
}

// Dial connects the test to NATS.
func (s *Stack) Dial() {
	s.TB.Helper()
	s.NC = s.dial()
	var err error
	if s.JS, err = jetstream.New(s.NC); err != nil {
		s.TB.Fatal(err)
	}
	if s.Client, err = client.New(s.NC, string(s.Source)); err != nil {
		s.TB.Fatal(err)
	}
}

func (s *Stack) dial() *nats.Conn {
	s.TB.Helper()
	opts := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond)}
	connect := s.Reach
	if connect == nil {
		connect = s.NATS.Connect
		if url := s.NATS.ClientURL(); url != "" {
			connect = func(opts ...nats.Option) (*nats.Conn, error) { return nats.Connect(url, opts...) }
		}
	}
	nc, err := connect(opts...)
	if err != nil {
		s.TB.Fatal(err)
	}
	s.TB.Cleanup(nc.Close)
	return nc
}

// Connect opens another connection to the database.
func (s *Stack) Connect() *pgx.Conn {
	s.TB.Helper()
	cfg, err := pg.ParseConfig(s.URL, "test")
	if err != nil {
		s.TB.Fatal(err)
	}
	conn, err := pg.Connect(s.TB.Context(), cfg)
	if err != nil {
		s.TB.Fatal(err)
	}
	s.TB.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// Exec runs SQL, several statements if need be, outside a transaction of its own.
func (s *Stack) Exec(sql string, args ...any) {
	s.TB.Helper()
	var err error
	if len(args) > 0 {
		_, err = s.DB.Exec(s.TB.Context(), sql, args...)
	} else if sql != "" {
		_, err = s.DB.PgConn().Exec(s.TB.Context(), sql).ReadAll()
	}
	if err != nil {
		s.TB.Fatalf("%s: %v", sql, err)
	}
}

// StartIngest starts ingest and waits until it streams. stop ends it.
func (s *Stack) StartIngest() (stop func()) {
	s.TB.Helper()
	_, stop = s.ingest()
	return stop
}

// StartIngestService is StartIngest for a test that asks ingest itself.
func (s *Stack) StartIngestService() *ingest.Ingest {
	s.TB.Helper()
	svc, _ := s.ingest()
	return svc
}

func (s *Stack) ingest() (svc *ingest.Ingest, stop func()) {
	s.TB.Helper()
	svc, stop, ready := s.spawnIngest()
	ready()
	return svc, stop
}

// BeginIngest is StartIngest for a test that has something to do before ingest streams. ready waits until it does.
func (s *Stack) BeginIngest() (ready func()) {
	s.TB.Helper()
	_, _, ready = s.spawnIngest()
	return ready
}

func (s *Stack) spawnIngest() (svc *ingest.Ingest, stop, ready func()) {
	s.TB.Helper()
	cfg := s.Ingest
	cfg.NATS = s.dial()
	svc, err := ingest.New(cfg)
	if err != nil {
		s.TB.Fatal(err)
	}
	stop, ready = s.spawn("ingest", svc.Run, svc.Ready())
	return svc, stop, ready
}

// Reset has the source begin again with the database as it is now.
func (s *Stack) Reset(reason string) {
	s.TB.Helper()
	with, err := pg.Identify(s.TB.Context(), s.DB.PgConn())
	var reset *ingest.Reset
	if err == nil {
		reset, err = ingest.LookAtReset(s.TB.Context(), s.JS, s.Source, with)
	}
	if err == nil {
		err = reset.Do(s.TB.Context(), reason)
	}
	if err != nil {
		s.TB.Fatal(err)
	}
}

// StartConsumer starts a consumer and waits until it answers. stop ends it.
func (s *Stack) StartConsumer() (stop func()) {
	s.TB.Helper()
	_, stop, _ = s.consumer()
	return stop
}

// StartConsumerToCrash is StartConsumer for a test that has it lose its connection and end, which stores nothing more.
func (s *Stack) StartConsumerToCrash() (crash func()) {
	s.TB.Helper()
	_, stop, nc := s.consumer()
	return func() { nc.Close(); stop() }
}

// StartConsumerService is StartConsumer for a test that asks the consumer itself.
func (s *Stack) StartConsumerService() *consumer.Consumer {
	s.TB.Helper()
	svc, _, _ := s.consumer()
	return svc
}

// Member is a consumer among others.
type Member struct {
	Stop    func() // softly
	Crash   func() // it loses its connection and ends, and stores nothing more
	Cut     func() // it loses its connection, and stores nothing more
	Owned   func() int64
	Trouble func() string // the last one; "" without any
	Read    func() uint64 // bytes that it got from NATS
}

// StartMember is StartConsumer for a test that has several.
func (s *Stack) StartMember() *Member {
	s.TB.Helper()
	svc, stop, nc := s.consumer()
	return &Member{
		Stop: stop, Cut: nc.Close, Crash: func() { nc.Close(); stop() },
		Owned: func() int64 { return svc.Status().Owned }, Trouble: func() string { return svc.Status().LastError }, Read: func() uint64 { return nc.Stats().InBytes },
	}
}

// BeginConsumer is StartConsumer for a test in which it cannot get ready.
func (s *Stack) BeginConsumer() (svc *consumer.Consumer, stop func()) {
	s.TB.Helper()
	svc, stop, _, _ = s.spawnConsumer()
	return svc, stop
}

func (s *Stack) consumer() (svc *consumer.Consumer, stop func(), nc *nats.Conn) {
	s.TB.Helper()
	svc, stop, ready, nc := s.spawnConsumer()
	ready()
	return svc, stop, nc
}

func (s *Stack) spawnConsumer() (svc *consumer.Consumer, stop, ready func(), nc *nats.Conn) {
	s.TB.Helper()
	cfg := s.Consumer
	cfg.NATS = s.dial()
	svc, err := consumer.New(cfg)
	if err != nil {
		s.TB.Fatal(err)
	}
	stop, ready = s.spawn("consumer", svc.Run, svc.Ready())
	return svc, stop, ready, cfg.NATS
}

// StartMaterializer starts a materializer and waits until it takes part. A
// consumer must have been started before. stop ends it.
func (s *Stack) StartMaterializer() (stop func()) {
	s.TB.Helper()
	_, stop = s.materializer()
	return stop
}

// StartMaterializerService is StartMaterializer for a test that asks the materializer itself.
func (s *Stack) StartMaterializerService() *materializer.Materializer {
	s.TB.Helper()
	svc, _ := s.materializer()
	return svc
}

func (s *Stack) materializer() (svc *materializer.Materializer, stop func()) {
	s.TB.Helper()
	cfg := s.Materializer
	cfg.NATS = s.dial()
	svc, err := materializer.New(cfg)
	if err != nil {
		s.TB.Fatal(err)
	}
	return svc, s.run("materializer", svc.Run, svc.Ready())
}

// StartGateway starts a gateway and returns its address, as a URL without a path. stop ends it.
func (s *Stack) StartGateway() (url string, stop func()) {
	s.TB.Helper()
	cfg := s.Gateway
	cfg.NATS = s.dial()
	var err error
	if cfg.Listener == nil {
		if cfg.Listener, err = (&net.ListenConfig{}).Listen(s.TB.Context(), "tcp", "127.0.0.1:0"); err != nil {
			s.TB.Fatal(err)
		}
	}
	svc, err := gateway.New(cfg)
	if err != nil {
		s.TB.Fatal(err)
	}
	return "http://" + cfg.Listener.Addr().String(), s.run("gateway", svc.Run, svc.Ready())
}

func (s *Stack) run(name string, run func(context.Context) error, ready <-chan struct{}) (stop func()) {
	s.TB.Helper()
	stop, await := s.spawn(name, run, ready)
	await()
	return stop
}

// spawn starts a service. await waits until it is ready, stop ends it.
func (s *Stack) spawn(name string, run func(context.Context) error, ready <-chan struct{}) (stop, await func()) {
	s.TB.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.TB.Errorf("%s: %v", name, err)
		}
	})
	s.TB.Cleanup(stop)
	return stop, func() {
		s.TB.Helper()
		select {
		case <-ready:
		case err := <-done:
			done <- nil
			s.TB.Fatalf("%s: %v", name, err)
		case <-time.After(Timeout):
			s.TB.Fatalf("%s is not ready after %s", name, Timeout)
		}
	}
}

// Create makes a shape and waits until it is live.
func (s *Stack) Create(def client.Definition) *client.Shape {
	s.TB.Helper()
	sh, err := s.Client.Create(s.TB.Context(), def)
	if err != nil {
		s.TB.Fatalf("create %+v: %v", def, err)
	}
	s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	return sh
}

// Await waits until ok says yes of the shape.
func (s *Stack) Await(sh *client.Shape, what string, ok func(control.Shape) bool) control.Shape {
	s.TB.Helper()
	var info control.Shape
	s.Until(fmt.Sprintf("shape %s is %s", sh.Handle(), what), func() (bool, error) {
		var err error
		info, err = sh.Refresh(s.TB.Context())
		return err == nil && ok(info), err
	}, func() string { return fmt.Sprintf("%+v", info) })
	return info
}

// Until polls a condition of a system that has no signal for it.
func (s *Stack) Until(what string, ok func() (bool, error), state func() string) {
	s.TB.Helper()
	deadline := time.Now().Add(Timeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		yes, err := ok()
		if yes {
			return
		}
		if time.Now().After(deadline) {
			s.TB.Fatalf("waited %s until %s; now: %s; last error: %v", Timeout, what, state(), err)
		}
		select {
		case <-tick.C:
		case <-s.TB.Context().Done():
			s.TB.Fatal(s.TB.Context().Err())
		}
	}
}

// Settle waits until all that is committed so far has been seen on the shape's
// behalf. The inner shapes of subqueries come to rest first: what they bring comes behind it.
func (s *Stack) Settle(shapes ...*client.Shape) {
	s.TB.Helper()
	var inner []*client.Shape
	for _, sh := range shapes {
		for _, handle := range sh.Info().Subqueries {
			in, err := s.Client.Open(s.TB.Context(), handle)
			if err != nil {
				s.TB.Fatal(err)
			}
			inner = append(inner, in)
		}
	}
	if len(inner) > 0 {
		s.Settle(inner...)
	}
	lsn, err := pg.EmitBarrier(s.TB.Context(), s.DB, topology.BarrierPrefix, "settle")
	if err != nil {
		s.TB.Fatal(err)
	}
	for _, sh := range shapes {
		s.Await(sh, "at "+lsn.String(), func(i control.Shape) bool {
			return i.State == control.StateLive && i.Applied >= lsn
		})
	}
}

// Verify settles the shapes and compares each one's log with its SELECT.
func (s *Stack) Verify(shapes ...*client.Shape) []*logcheck.State {
	s.TB.Helper()
	s.Settle(shapes...)
	var states []*logcheck.State
	for _, sh := range shapes {
		st, err := logcheck.Replay(s.TB.Context(), s.JS, s.Source, sh.Info())
		if err != nil {
			s.TB.Fatal(err)
		}
		want, err := logcheck.Select(s.TB.Context(), s.DB, sh.Info())
		if err != nil {
			s.TB.Fatal(err)
		}
		if d := logcheck.Diff(st.Rows, want); d != "" {
			s.TB.Fatalf("shape %s: %s", sh.Handle(), d)
		}
		if st.Open {
			s.TB.Fatalf("shape %s: the log ends inside a transaction", sh.Handle())
		}
		states = append(states, st)
	}
	return states
}
