package tracing

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// scope names the spans' origin.
const scope = "github.com/shapebus/shapebus"

// Tracer makes spans. A nil Tracer makes none. Safe for concurrent use.
type Tracer struct {
	tracer trace.Tracer
	source attribute.KeyValue
}

// New makes a tracer of a source's spans.
func New(p trace.TracerProvider, source topology.Source) *Tracer {
	return &Tracer{tracer: p.Tracer(scope), source: attribute.String("shapebus.source", string(source))}
}

// Commit is the span of a sampled transaction on its way into the change log: from its commit in Postgres until
// its last message is stored. A nil Commit is one that was not sampled.
type Commit struct {
	span    trace.Span
	context string
	pending atomic.Int64 // messages that are not stored, and one until Sent
}

// Commit begins the trace of a transaction, or returns nil where it is not sampled. at is when it committed. The
// same transaction always has the same trace, also when another process sends the rest of it.
func (t *Tracer) Commit(xid change.XID, lsn change.LSN, at time.Time) *Commit {
	if t == nil {
		return nil
	}
	ctx := context.WithValue(nowhere, transaction{}, transaction{t.source.Value.AsString(), xid, lsn, at.UnixMicro()})
	ctx, span := t.tracer.Start(ctx, "commit", trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(at), trace.WithNewRoot(),
		trace.WithAttributes(t.source, attribute.String("db.system.name", "postgresql"),
			attribute.String("shapebus.lsn", lsn.String()), attribute.Int64("shapebus.xid", int64(xid))))
	if !span.SpanContext().IsSampled() {
		return nil
	}
	c := &Commit{span: span, context: Header(ctx)}
	c.pending.Store(1)
	return c
}

// Context is what goes into the headers of the transaction's messages; "" for nil.
func (c *Commit) Context() string {
	if c == nil {
		return ""
	}
	return c.context
}

// Message says that a message of the transaction is about to be sent. stored is to be called once it is stored.
func (c *Commit) Message() (stored func()) {
	c.pending.Add(1)
	return c.done
}

// Sent says that no more messages come. The span ends when all are stored; where that does not happen, it is dropped.
func (c *Commit) Sent(rows uint64) {
	if c == nil {
		return
	}
	c.span.SetAttributes(attribute.Int64("shapebus.rows", int64(rows))) //nolint:gosec // a number of rows
	c.done()
}

func (c *Commit) done() {
	if c.pending.Add(-1) == 0 {
		c.span.End()
	}
}

// Span is a piece of work on a transaction. A nil Span is one that nobody records.
type Span struct{ span trace.Span }

// Kind is what a span does with messages.
type Kind = trace.SpanKind

// Kinds of spans.
const (
	Producer = trace.SpanKindProducer
	Consumer = trace.SpanKindConsumer
)

// Span begins a span of the trace that a header names; nil where the header names none, or one that is not sampled.
// handle is that of the shape that it is about, at when the work began.
func (t *Tracer) Span(header, name string, kind Kind, handle string, at time.Time) *Span {
	if t == nil || header == "" {
		return nil
	}
	ctx := Context(nowhere, header)
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return nil
	}
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(at), trace.WithAttributes(t.source, attribute.String("shapebus.shape", handle)))
	if !span.IsRecording() {
		return nil
	}
	return &Span{span}
}

// End ends the span. err, if not nil, says that the work failed.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, err.Error())
	}
	s.span.End()
}

var propagator propagation.TraceContext //nolint:gochecknoglobals // it has no state

// nowhere is what the contexts of traces begin with: they carry a header, and end nothing.
var nowhere = context.Background() //nolint:gochecknoglobals // it has no state

// Header is a context's trace as it stands in a header; "" without one.
func Header(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagator.Inject(ctx, carrier)
	return carrier.Get(topology.HeaderTrace)
}

// Context is ctx with the trace that a header names.
func Context(ctx context.Context, header string) context.Context {
	return propagator.Extract(ctx, propagation.MapCarrier{topology.HeaderTrace: header})
}

// transaction is what a trace's ids are made of; it is also the key of itself in a context.
type transaction struct {
	source string
	xid    change.XID
	lsn    change.LSN
	at     int64
}
