package telemetry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/shapebus/shapebus/internal/tracing"
)

// TracesConfig says whose spans are sent. What OpenTelemetry has a variable for is read from the environment, by its SDK.
type TracesConfig struct {
	Service string // the service's name, unless OTEL_SERVICE_NAME has another
	Version string
	Queue   int // spans held until they are sent; what comes beyond is dropped. Default 2048
	Log     *slog.Logger
}

// Traces sends spans to a collector, by OTLP over HTTP. It never waits for the collector: spans are held in a bounded queue
// and dropped beyond it, which is counted. A nil Traces sends none.
type Traces struct {
	provider *sdktrace.TracerProvider
	limit    int64
	held     atomic.Int64 // ended and not sent yet
	sent     atomic.Uint64
	dropped  atomic.Uint64 // did not fit
	failed   atomic.Uint64 // the collector did not take them
	log      *slog.Logger
	says     rate.Sometimes
}

// tracesEach is how many transactions are sampled in a second unless OTEL_TRACES_SAMPLER says otherwise.
const tracesEach = 10

const defaultQueue = 2048

// OpenTraces begins to send spans. It reaches for the collector only when there are some.
func OpenTraces(ctx context.Context, cfg TracesConfig) (*Traces, error) {
	t := &Traces{limit: int64(cmp.Or(cfg.Queue, defaultQueue)), log: cfg.Log, says: rate.Sometimes{Interval: time.Minute}}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		cfg.Log.WarnContext(ctx, "traces", slog.Any("error", err))
	}))
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version),
			attribute.String("service.instance.id", instance())),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// The processor's own queue has room for all that is let through, so it drops nothing uncounted.
	batches := sdktrace.NewBatchSpanProcessor(counting{exporter, t}, sdktrace.WithMaxQueueSize(int(t.limit)))
	opts := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(res), sdktrace.WithIDGenerator(tracing.IDs{}), sdktrace.WithSpanProcessor(bounded{batches, t}),
	}
	if os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		opts = append(opts, sdktrace.WithSampler(sdktrace.ParentBased(paced{rate.NewLimiter(tracesEach, tracesEach)})))
	}
	t.provider = sdktrace.NewTracerProvider(opts...)
	return t, nil
}

func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "/" + strconv.Itoa(os.Getpid())
}

// Provider makes tracers whose spans are sent.
func (t *Traces) Provider() trace.TracerProvider { return t.provider }

// Close sends what is held, until ctx ends.
func (t *Traces) Close(ctx context.Context) {
	if t == nil {
		return
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.WarnContext(ctx, "some traces were not sent", slog.Any("error", err))
	}
}

// Metrics are what became of the spans; zeros for nil.
func (t *Traces) Metrics() []Metric {
	if t == nil {
		t = &Traces{}
	}
	return []Metric{
		Counter("shapebus_trace_spans_sent_total", "Spans of traces that a collector took.", t.sent.Load()),
		Counter("shapebus_trace_spans_dropped_total", "Spans of traces that were dropped because too many waited to be sent.", t.dropped.Load()),
		Counter("shapebus_trace_spans_failed_total", "Spans of traces that could not be sent.", t.failed.Load()),
	}
}

// bounded lets spans through to be sent while few enough are held.
type bounded struct {
	sdktrace.SpanProcessor
	*Traces
}

// OnEnd takes a span that has ended. It never waits.
func (b bounded) OnEnd(s sdktrace.ReadOnlySpan) {
	switch {
	case !s.SpanContext().IsSampled():
	case b.held.Add(1) > b.limit:
		b.held.Add(-1)
		b.dropped.Add(1)
	default:
		b.SpanProcessor.OnEnd(s)
	}
}

// counting counts what becomes of spans.
type counting struct {
	sdktrace.SpanExporter
	*Traces
}

// ExportSpans sends spans. Failures are counted and said now and then, and nobody else hears of them.
func (c counting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	n := len(spans)
	c.held.Add(-int64(n))
	if err == nil {
		c.sent.Add(uint64(n))
		return nil
	}
	c.failed.Add(uint64(n))
	c.says.Do(func() { c.log.WarnContext(ctx, "cannot send traces", slog.Any("error", err)) })
	return nil
}

// paced samples as many transactions in a second as a limiter lets through.
type paced struct{ limiter *rate.Limiter }

// ShouldSample decides about the first span of a trace.
func (p paced) ShouldSample(s sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if p.limiter.Allow() {
		return sdktrace.AlwaysSample().ShouldSample(s)
	}
	return sdktrace.NeverSample().ShouldSample(s)
}

// Description names the sampler.
func (p paced) Description() string { return fmt.Sprintf("Paced{%v/s}", p.limiter.Limit()) }
