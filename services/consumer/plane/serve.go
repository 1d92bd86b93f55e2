package plane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/plane/allow"
	"github.com/shapebus/shapebus/services/consumer/plane/answer"
	"github.com/shapebus/shapebus/services/consumer/plane/intake"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
	"github.com/shapebus/shapebus/services/consumer/plane/whereis"
	"github.com/shapebus/shapebus/services/consumer/tables"
)

// Config is what the control plane needs.
type Config struct {
	Source      topology.Source
	NATS        *nats.Conn
	JS          jetstream.JetStream // of NATS
	Pool        *pgxpool.Pool       // with room for MaxAsking connections
	Connections int                 // to Postgres that one consumer opens at most
	Shapes      *registry.Shapes
	Tables      *tables.Preparer
	Publication string
	Slot        string // for status only
	Partitions  *registry.Partitions
	Version     string               // shown in status
	Costs       func(most int) Costs // of this process' shapes
	Quotas      Quotas
	Allowed     allow.Tables // tables that may be asked for, by subqueries too
	Log         *slog.Logger
}

// server answers the requests.
type server struct {
	cfg    Config
	asking chan struct{} // one token per connection to Postgres in use
	census *census
	said   *says // the last time; of the goroutine that tells the status

	strayed atomic.Int64 // when a request that is not answered was logged, in seconds since 1970; see astray

	lookups askTogether[*pg.TableInfo]
	ensures askTogether[*pg.TableInfo]
	costs   askTogether[gathered]
}

// MaxAsking is how many connections to Postgres requests use at once.
const MaxAsking = 4

// How many requests of a kind are worked on at once. Those that make shapes wait for each other's questions
// more than they work, so they are more than connections to Postgres.
const (
	makersAtOnce  = 32
	getsAtOnce    = 16
	listsAtOnce   = 2
	checksAtOnce  = 4
	explainAtOnce = 2 // each may read a whole table
)

// Serve starts the micro service. stop ends it, but for what has come.
func Serve(ctx context.Context, cfg Config) (stop func(), err error) {
	p := &server{cfg: cfg, asking: make(chan struct{}, MaxAsking), census: newCensus()}
	var bytes atomic.Int64
	makers, gets, lists, statuses := intake.NewLane(&bytes), intake.NewLane(&bytes), intake.NewLane(&bytes), intake.NewLane(&bytes)
	checks, explains := intake.NewLane(&bytes), intake.NewLane(&bytes)
	svc := intake.NewService(cfg.NATS, cfg.Source, cfg.Version)
	for _, e := range []*intake.Endpoint{
		{Name: control.EndpointCreate, Lane: makers, Handle: handler(checkCreate, p.create), About: intake.Schemas(control.CreateRequest{}, control.Shape{})},
		{Name: control.EndpointDelete, Lane: makers, Handle: handler(checkShape, p.remove), About: intake.Schemas(control.ShapeRequest{}, control.Shape{})},
		{Name: control.EndpointFold, Lane: makers, Handle: handler(checkShape, p.fold), About: intake.Schemas(control.ShapeRequest{}, control.Shape{})},
		{Name: control.EndpointGet, Lane: gets, Handle: handler(checkShape, p.get), About: intake.Schemas(control.ShapeRequest{}, control.Shape{})},
		{Name: control.EndpointList, Lane: lists, Handle: handler(checkList, p.list), About: intake.Schemas(control.ListRequest{}, control.ListResponse{})},
		{Name: control.EndpointCheck, Lane: checks, Handle: handler(checkCreate, p.check), About: intake.Schemas(control.CreateRequest{}, control.Check{})},
		{Name: control.EndpointExplain, Lane: explains, Handle: handler(whereis.Check, p.explain), About: intake.Schemas(control.ExplainRequest{}, control.Explanation{})},
		{Name: control.EndpointTop, Lane: lists, Handle: handler(checkTop, p.top), About: intake.Schemas(control.TopRequest{}, control.TopResponse{})},
		{Name: control.EndpointStatus, Lane: statuses, Handle: handler(checkNothing, func(context.Context, struct{}) (any, error) { return nil, nil }), About: intake.Schemas(struct{}{}, control.Status{})},
	} {
		svc.Add(e, cfg.Source.ControlPlane()+"."+e.Name)
	}
	untold, err := p.tellCosts()
	if err == nil {
		err = svc.Serve(func(r *intake.Request) {
			if err := r.To.Lane.Admit(r); err != nil { // requests wait for Postgres; the subscription must not
				p.respond(ctx, r, nil, err)
			}
		}, p.astray)
	}
	if err != nil {
		return nil, err
	}
	for l, n := range map[*intake.Lane]int{makers: makersAtOnce, gets: getsAtOnce, lists: listsAtOnce, checks: checksAtOnce, explains: explainAtOnce} {
		for range n {
			go p.work(ctx, l)
		}
	}
	go p.tellStatus(ctx, statuses)
	go p.census.keep(ctx, cfg.Shapes, cfg.Log)
	return func() { svc.Stop(); untold() }, nil
}

// Reach waits until the NATS server knows of the endpoints that Serve started. It fails where the server does not answer or
// the connection breaks, and may be called again: that says nothing of whether the connection comes back, even if the
// error is nats.ErrConnectionClosed.
func Reach(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, intake.Timeout)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("start the control plane: %w", err)
	}
	return nil
}

// strayEvery is how often a request is logged whose answer is wanted on a subject that is no inbox: they cost nothing to send.
const strayEvery = time.Minute

// astray counts a request for an answer on a subject that is no inbox. Nothing is sent there, and nothing is done.
func (p *server) astray(e *intake.Endpoint, reply string) {
	e.Answered(0, control.CodeForbidden+":the answer was wanted on a subject that is no inbox")
	last, now := p.strayed.Load(), time.Now().Unix()
	if now-last >= int64(strayEvery/time.Second) && p.strayed.CompareAndSwap(last, now) {
		p.cfg.Log.Warn("a request is not answered: it wants its answer on a subject that is no inbox, which begins with _", slog.String("endpoint", e.Name), slog.String("reply", refuse.Cut(reply)))
	}
}

// room is how large an answer may be.
func (p *server) room() int { return answer.Room(p.cfg.NATS.MaxPayload()) }

func handler[T any](check func(T) error, f func(context.Context, T) (any, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, data []byte) (any, error) {
		req, err := decode[T](data)
		if err == nil {
			err = check(req)
		}
		if err != nil {
			return nil, err
		}
		return f(ctx, req)
	}
}

// work answers the requests of a lane, one after the other, until ctx ends.
func (p *server) work(ctx context.Context, l *intake.Lane) {
	for {
		r := l.Next(ctx)
		if r == nil {
			for _, r := range l.Rest() {
				p.respond(ctx, r, nil, intake.ErrStopped)
			}
			return
		}
		out, err := p.answer(ctx, r)
		p.respond(ctx, r, out, err)
	}
}

func (p *server) answer(ctx context.Context, r *intake.Request) (any, error) {
	if err := r.Late(time.Now()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, r.Until)
	defer cancel()
	return r.To.Handle(ctx, r.Msg.Data)
}

func (p *server) respond(ctx context.Context, r *intake.Request, out any, err error) {
	var data []byte
	if err == nil {
		data, err = answer.EncodeWithin(out, p.room())
	}
	failed := ""
	if err == nil {
		err = r.Respond(data)
	} else {
		code, text := refuse.Describe(err)
		if _, refused := errors.AsType[*refuse.Error](err); code == control.CodeUnavailable && !refused {
			p.cfg.Log.WarnContext(ctx, "request failed", slog.String("endpoint", r.To.Name), slog.Any("error", err))
		}
		failed = code + ":" + refuse.Cut(text)
		err = r.Refuse(code, refuse.Cut(text))
	}
	r.To.Answered(time.Since(r.Came), failed)
	if err != nil && ctx.Err() == nil && !errors.Is(err, nats.ErrMsgNoReply) {
		p.cfg.Log.WarnContext(ctx, "answer not sent", slog.String("endpoint", r.To.Name), slog.Any("error", err))
	}
}
