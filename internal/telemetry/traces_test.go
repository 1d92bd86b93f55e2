package telemetry_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/shapebus/shapebus/internal/telemetry"
)

func values(list []telemetry.Metric) map[string]float64 {
	m := map[string]float64{}
	for _, x := range list {
		m[x.Name] = x.Value
	}
	return m
}

const (
	sent    = "shapebus_trace_spans_sent_total"
	dropped = "shapebus_trace_spans_dropped_total"
	failed  = "shapebus_trace_spans_failed_total"
)

// A collector that does not answer holds up nobody, and takes no more memory than the queue.
func TestSpansThatDoNotFitAreDroppedAndCounted(t *testing.T) {
	const room, spans = 64, 1000
	open := make(chan struct{})
	var got atomic.Int64
	c := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		<-open
		var req collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			t.Error(err)
		}
		for _, rs := range req.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				got.Add(int64(len(ss.GetSpans())))
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer c.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	traces, err := telemetry.OpenTraces(t.Context(), telemetry.TracesConfig{Service: "test", Queue: room, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	tracer := traces.Provider().Tracer("test")
	for range spans {
		_, span := tracer.Start(t.Context(), "x")
		span.End()
	}
	if d := values(traces.Metrics())[dropped]; d != spans-room {
		t.Errorf("%v spans dropped of %d with room for %d", d, spans, room)
	}
	close(open)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	traces.Close(ctx)
	now := values(traces.Metrics())
	if now[sent] != room || got.Load() != room || now[failed] != 0 {
		t.Errorf("the collector has %d spans, figures: %v", got.Load(), now)
	}
}

func TestSpansThatCannotBeSentAreCounted(t *testing.T) {
	c := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer c.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	traces, err := telemetry.OpenTraces(t.Context(), telemetry.TracesConfig{Service: "test", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	_, span := traces.Provider().Tracer("test").Start(t.Context(), "x")
	span.End()
	traces.Close(t.Context())
	if now := values(traces.Metrics()); now[failed] != 1 || now[sent] != 0 || now[dropped] != 0 {
		t.Errorf("figures: %v", now)
	}
}

// However much commits, so many traces begin in a second and no more, unless somebody asks for more.
func TestFewTransactionsAreSampledUnlessSomebodyAsksForMore(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	traces, err := telemetry.OpenTraces(t.Context(), telemetry.TracesConfig{Service: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	began, sampled := time.Now(), 0
	for range 10000 {
		_, span := traces.Provider().Tracer("test").Start(t.Context(), "x")
		if span.SpanContext().IsSampled() {
			sampled++
		}
	}
	if most := 11 + int(10*time.Since(began).Seconds()); sampled < 10 || sampled > most {
		t.Errorf("%d of 10,000 sampled, want 10 to %d", sampled, most)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	traces.Close(ctx)
}

func TestNoTracesHaveFiguresToo(t *testing.T) {
	var none *telemetry.Traces
	if got := values(none.Metrics()); len(got) != 3 || got[sent] != 0 {
		t.Errorf("figures of no traces: %v", got)
	}
}
