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
	"github.com/nats-io/nats.go/micro"

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
	Version     string // shown in status
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

	lookups askTogether[*pg.TableInfo]
	ensures askTogether[*pg.TableInfo]
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

// Serve starts the micro service.
func Serve(ctx context.Context, cfg Config) (micro.Service, error) {
	p := &server{cfg: cfg, asking: make(chan struct{}, MaxAsking), census: newCensus()}
	svc, err := micro.AddService(cfg.NATS, micro.Config{
		Name: control.ServiceName, Version: "1.0.0", Description: "Shapes of source " + string(cfg.Source),
		Metadata: map[string]string{"source": string(cfg.Source), "build": cfg.Version},
	})
	if err != nil {
		return nil, fmt.Errorf("start the control plane: %w", topology.Explain(err))
	}
	var bytes atomic.Int64
	makers, gets, lists, statuses := newLane(&bytes), newLane(&bytes), newLane(&bytes), newLane(&bytes)
	checks, explains := newLane(&bytes), newLane(&bytes)
	group := svc.AddGroup(cfg.Source.ControlPlane())
	for name, e := range map[string]struct {
		lane   *lane
		handle func(context.Context, []byte) (any, error)
	}{
		control.EndpointCreate:  {makers, handler(checkCreate, p.create)},
		control.EndpointDelete:  {makers, handler(checkShape, p.remove)},
		control.EndpointFold:    {makers, handler(checkShape, p.fold)},
		control.EndpointGet:     {gets, handler(checkShape, p.get)},
		control.EndpointList:    {lists, handler(checkList, p.list)},
		control.EndpointCheck:   {checks, handler(checkCreate, p.check)},
		control.EndpointExplain: {explains, handler(checkExplain, p.explain)},
		control.EndpointStatus:  {statuses, handler(checkNothing, func(context.Context, struct{}) (any, error) { return nil, nil })},
	} {
		err := group.AddEndpoint(endpointName(name), micro.HandlerFunc(func(r micro.Request) {
			q := &request{Request: r, name: name, handle: e.handle, until: time.Now().Add(requestTimeout)}
			if err := e.lane.admit(q); err != nil { // requests wait for Postgres; the service's dispatcher must not
				p.respond(ctx, q, nil, err)
			}
		}), micro.WithEndpointSubject(name))
		if err != nil {
			return nil, fmt.Errorf("start endpoint %s: %w", name, err)
		}
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
	return svc, nil
}

// endpointName is a name without dots, which the micro protocol wants.
func endpointName(subject string) string {
	b := []byte(subject)
	for i := range b {
		if b[i] == '.' {
			b[i] = '-'
		}
	}
	return string(b)
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
	return r.handle(ctx, r.Data())
}

func (p *server) respond(ctx context.Context, r *request, out any, err error) {
	var data []byte
	if err == nil {
		data, err = p.encodeAnswer(out)
	}
	if err == nil {
		err = r.Respond(data)
	} else {
		code, text := describe(err)
		if _, refused := errors.AsType[*requestError](err); code == control.CodeUnavailable && !refused {
			p.cfg.Log.WarnContext(ctx, "request failed", slog.String("endpoint", r.name), slog.Any("error", err))
		}
		err = r.Error(code, cut(text), nil)
	}
	if err != nil && ctx.Err() == nil {
		p.cfg.Log.WarnContext(ctx, "answer not sent", slog.String("endpoint", r.name), slog.Any("error", err))
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
