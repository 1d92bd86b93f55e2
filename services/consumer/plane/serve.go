package plane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
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
	Allowed     Allowed // tables that may be asked for, by subqueries too
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

// requestTimeout bounds the time from a request's arrival to its answer.
const requestTimeout = 20 * time.Second

// Serve starts the micro service. stop ends it, but for what has come.
func Serve(ctx context.Context, cfg Config) (stop func(), err error) {
	p := &server{cfg: cfg, asking: make(chan struct{}, MaxAsking), census: newCensus()}
	var bytes atomic.Int64
	makers, gets, lists, statuses := newLane(&bytes), newLane(&bytes), newLane(&bytes), newLane(&bytes)
	checks, explains := newLane(&bytes), newLane(&bytes)
	svc := newMicroService(cfg.NATS, cfg.Source, cfg.Version)
	for _, e := range []*endpoint{
		{name: control.EndpointCreate, lane: makers, handle: handler(checkCreate, p.create), about: schemas(control.CreateRequest{}, control.Shape{})},
		{name: control.EndpointDelete, lane: makers, handle: handler(checkShape, p.remove), about: schemas(control.ShapeRequest{}, control.Shape{})},
		{name: control.EndpointFold, lane: makers, handle: handler(checkShape, p.fold), about: schemas(control.ShapeRequest{}, control.Shape{})},
		{name: control.EndpointGet, lane: gets, handle: handler(checkShape, p.get), about: schemas(control.ShapeRequest{}, control.Shape{})},
		{name: control.EndpointList, lane: lists, handle: handler(checkList, p.list), about: schemas(control.ListRequest{}, control.ListResponse{})},
		{name: control.EndpointCheck, lane: checks, handle: handler(checkCreate, p.check), about: schemas(control.CreateRequest{}, control.Check{})},
		{name: control.EndpointExplain, lane: explains, handle: handler(checkExplain, p.explain), about: schemas(control.ExplainRequest{}, control.Explanation{})},
		{name: control.EndpointTop, lane: lists, handle: handler(checkTop, p.top), about: schemas(control.TopRequest{}, control.TopResponse{})},
		{name: control.EndpointStatus, lane: statuses, handle: handler(checkNothing, func(context.Context, struct{}) (any, error) { return nil, nil }), about: schemas(struct{}{}, control.Status{})},
	} {
		svc.add(e, cfg.Source.ControlPlane()+"."+e.name)
	}
	untold, err := p.tellCosts()
	if err == nil {
		err = svc.serve(func(r *request) {
			if err := r.to.lane.admit(r); err != nil { // requests wait for Postgres; the subscription must not
				p.respond(ctx, r, nil, err)
			}
		}, p.astray)
	}
	if err != nil {
		return nil, err
	}
	for l, n := range map[*lane]int{makers: makersAtOnce, gets: getsAtOnce, lists: listsAtOnce, checks: checksAtOnce, explains: explainAtOnce} {
		for range n {
			go p.work(ctx, l)
		}
	}
	go p.tellStatus(ctx, statuses)
	go p.census.keep(ctx, cfg.Shapes, cfg.Log)
	// Ready means that the server knows of the endpoints.
	if err := cfg.NATS.FlushTimeout(requestTimeout); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	return func() { svc.Stop(); untold() }, nil
}

// strayEvery is how often a request is logged whose answer is wanted on a subject that is no inbox: they cost nothing to send.
const strayEvery = time.Minute

// astray counts a request for an answer on a subject that is no inbox. Nothing is sent there, and nothing is done.
func (p *server) astray(e *endpoint, reply string) {
	e.answered(0, control.CodeForbidden+":the answer was wanted on a subject that is no inbox")
	last, now := p.strayed.Load(), time.Now().Unix()
	if now-last >= int64(strayEvery/time.Second) && p.strayed.CompareAndSwap(last, now) {
		p.cfg.Log.Warn("a request is not answered: it wants its answer on a subject that is no inbox, which begins with _", slog.String("endpoint", e.name), slog.String("reply", cut(reply)))
	}
}

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

// requestError is an error with a code for the one who asked.
type requestError struct{ code, text string }

func (e *requestError) Error() string { return e.text }

// work answers the requests of a lane, one after the other, until ctx ends.
func (p *server) work(ctx context.Context, l *lane) {
	for {
		r := l.next(ctx)
		if r == nil {
			for _, r := range l.rest() {
				p.respond(ctx, r, nil, stopped)
			}
			return
		}
		out, err := p.answer(ctx, r)
		p.respond(ctx, r, out, err)
	}
}

func (p *server) answer(ctx context.Context, r *request) (any, error) {
	if err := r.late(time.Now()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	return r.to.handle(ctx, r.msg.Data)
}

func (p *server) respond(ctx context.Context, r *request, out any, err error) {
	var data []byte
	if err == nil {
		data, err = p.encodeAnswer(out)
	}
	failed := ""
	if err == nil {
		err = r.respond(data)
	} else {
		code, text := describe(err)
		if _, refused := errors.AsType[*requestError](err); code == control.CodeUnavailable && !refused {
			p.cfg.Log.WarnContext(ctx, "request failed", slog.String("endpoint", r.to.name), slog.Any("error", err))
		}
		failed = code + ":" + cut(text)
		err = r.refuse(code, cut(text))
	}
	r.to.answered(time.Since(r.came), failed)
	if err != nil && ctx.Err() == nil && !errors.Is(err, nats.ErrMsgNoReply) {
		p.cfg.Log.WarnContext(ctx, "answer not sent", slog.String("endpoint", r.to.name), slog.Any("error", err))
	}
}

// maxText bounds the text of a refusal, which may name every column of a table.
const maxText = 4 << 10

func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	const end = " …"
	return strings.ToValidUTF8(text[:maxText-len(end)], "") + end
}

// describe turns an error into a code and a text for the one who asked.
func describe(err error) (code, text string) {
	var re *requestError
	var pe *predicate.Error
	var needs *pg.NeedsError
	var notFound *pg.NotFoundError
	var unsupported *pg.UnsupportedError
	switch {
	case errors.As(err, &re):
		return re.code, re.text
	case errors.As(err, &pe) && pe.Denied:
		return control.CodeForbidden, err.Error()
	case errors.As(err, &pe), errors.As(err, &notFound), errors.As(err, &unsupported):
		return control.CodeBadRequest, err.Error()
	case errors.As(err, &needs):
		return control.CodeForbidden, err.Error()
	case errors.Is(err, registry.ErrNotFound):
		return control.CodeNotFound, err.Error()
	case errors.Is(err, nats.ErrMaxPayload):
		return control.CodeTooLarge, err.Error() + ": what has to be stored of the shape does not fit into one message of the NATS server; ask for fewer columns or a shorter clause, or raise the server's max_payload"
	}
	return control.CodeUnavailable, err.Error()
}
