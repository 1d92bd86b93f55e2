package plane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
	Partitions  int
	Version     string // shown in status
	Log         *slog.Logger
}

// server answers the requests.
type server struct {
	cfg     Config
	working chan struct{} // one token per request being worked on
	asking  chan struct{} // one token per connection to Postgres in use

	lookups askTogether[*pg.TableInfo]
	ensures askTogether[*pg.TableInfo]
}

// MaxAsking is how many connections to Postgres requests use at once.
const MaxAsking = 4

// maxRequests is how many requests are worked on at once. They wait for each
// other's questions more than they work, so they are more than connections to Postgres.
const maxRequests = 32

// requestTimeout bounds the work on one request.
const requestTimeout = 20 * time.Second

// maxRequest bounds a request's size in bytes: a where clause and its
// parameters, with room.
const maxRequest = 256 << 10

// Serve starts the micro service.
func Serve(ctx context.Context, cfg Config) (micro.Service, error) {
	p := &server{cfg: cfg, working: make(chan struct{}, maxRequests), asking: make(chan struct{}, MaxAsking)}
	svc, err := micro.AddService(cfg.NATS, micro.Config{
		Name: control.ServiceName, Version: "1.0.0", Description: "Shapes of source " + string(cfg.Source),
		Metadata: map[string]string{"source": string(cfg.Source), "build": cfg.Version},
	})
	if err != nil {
		return nil, fmt.Errorf("start the control plane: %w", topology.Explain(err))
	}
	group := svc.AddGroup(cfg.Source.ControlPlane())
	for name, h := range map[string]func(context.Context, []byte) (any, error){
		control.EndpointCreate: handler(checkCreate, p.create),
		control.EndpointGet:    handler(checkShape, p.get),
		control.EndpointList:   handler(checkList, p.list),
		control.EndpointDelete: handler(checkShape, p.remove),
		control.EndpointStatus: handler(checkNothing, p.status),
	} {
		err := group.AddEndpoint(endpointName(name), micro.HandlerFunc(func(r micro.Request) {
			// Requests wait for Postgres; the service's dispatcher must not.
			go p.answer(ctx, name, r, h)
		}), micro.WithEndpointSubject(name))
		if err != nil {
			return nil, fmt.Errorf("start endpoint %s: %w", name, err)
		}
	}
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

func (p *server) answer(ctx context.Context, name string, r micro.Request, h func(context.Context, []byte) (any, error)) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	select {
	case p.working <- struct{}{}:
		defer func() { <-p.working }()
	case <-ctx.Done():
	}
	var out any
	var err error
	if n := len(r.Data()); n > maxRequest {
		err = &requestError{control.CodeBadRequest, fmt.Sprintf("the request has %d bytes, more than the %d allowed", n, maxRequest)}
	} else {
		out, err = h(ctx, r.Data())
	}
	var data []byte
	if err == nil {
		data, err = p.encodeAnswer(out)
	}
	if err == nil {
		err = r.Respond(data)
	} else {
		code, text := describe(err)
		if code == control.CodeUnavailable {
			p.cfg.Log.WarnContext(ctx, "request failed", slog.String("endpoint", name), slog.Any("error", err))
		}
		err = r.Error(code, cut(text), nil)
	}
	if err != nil && ctx.Err() == nil {
		p.cfg.Log.WarnContext(ctx, "answer not sent", slog.String("endpoint", name), slog.Any("error", err))
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
