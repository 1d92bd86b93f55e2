package flow

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// span is one that a collector was sent.
type span struct {
	*otlp.Span

	service string
}

func (s span) attribute(key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// received is what a collector was sent, by the ids of traces.
type received struct {
	mu     sync.Mutex
	traces map[string][]span
}

// collect starts a collector that takes OTLP over HTTP, and makes it everybody's.
func collect(t *testing.T) *received {
	t.Helper()
	got := &received{traces: map[string][]span{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("the collector was sent %s %s: %v", r.Method, r.URL.Path, err)
		}
		got.mu.Lock()
		defer got.mu.Unlock()
		for _, rs := range req.GetResourceSpans() {
			service := ""
			for _, a := range rs.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					service = a.GetValue().GetStringValue()
				}
			}
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					id := hex.EncodeToString(s.GetTraceId())
					got.traces[id] = append(got.traces[id], span{s, service})
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	return got
}

// of are the spans of a trace, as "service name", sorted and without those that come again.
func (r *received) of(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, s := range r.traces[id] {
		names = append(names, s.service+" "+s.GetName())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// traces sends the spans of a service to the collector.
func traces(t *testing.T, service string) *telemetry.Traces {
	t.Helper()
	tr, err := telemetry.OpenTraces(t.Context(), telemetry.TracesConfig{Service: service, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close(context.WithoutCancel(t.Context())) })
	return tr
}

// traced are the messages of a stream that have a trace, and how many have none.
func traced(s *stack.Stack, name string) (with []*nats.Msg, without int) {
	s.TB.Helper()
	st, err := s.JS.Stream(s.TB.Context(), name)
	if err != nil {
		s.TB.Fatal(err)
	}
	info, err := st.Info(s.TB.Context())
	if err != nil {
		s.TB.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && info.State.Msgs > 0; seq++ {
		m, err := st.GetMsg(s.TB.Context(), seq)
		if err != nil {
			continue // removed
		}
		if m.Header.Get(topology.HeaderTrace) == "" {
			without++
			continue
		}
		with = append(with, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data})
	}
	return with, without
}

// readTraced reads a shape as an app that traces its own work does, until a commit that ok says yes to, and returns the id of
// that one's trace.
func readTraced(s *stack.Stack, sh *client.Shape, app trace.Tracer, ok func(client.Commit) bool) (id string) {
	s.TB.Helper()
	for e, err := range sh.Subscribe(client.Beginning(), client.Options{}).Events(s.TB.Context()) {
		if err != nil {
			s.TB.Fatal(err)
		}
		c, is := e.(client.Commit)
		if !is || c.Trace == "" {
			continue
		}
		ctx := propagation.TraceContext{}.Extract(s.TB.Context(), propagation.MapCarrier{"traceparent": c.Trace})
		_, work := app.Start(ctx, "apply")
		work.End()
		if ok(c) {
			return work.SpanContext().TraceID().String()
		}
	}
	s.TB.Fatal("the subscription ended")
	return ""
}

// TestATransactionIsOneTraceFromItsCommitToItsReaders: what ingest, the consumer, the materializer, the gateway and an app do
// with a transaction are spans of one trace, also where it makes a unit of a shape with a subquery.
func TestATransactionIsOneTraceFromItsCommitToItsReaders(t *testing.T) {
	got := collect(t)
	s := stack.New(t, projectSchema)
	s.Ingest.Tracer = tracing.New(traces(t, "ingest").Provider(), s.Source)
	s.Consumer.Tracer = tracing.New(traces(t, "consumer").Provider(), s.Source)
	s.Materializer.Tracer = tracing.New(traces(t, "materializer").Provider(), s.Source)
	s.Gateway.Tracer = tracing.New(traces(t, "gateway").Provider(), s.Source)
	app := traces(t, "app").Provider().Tracer("app")
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	web, _ := s.StartGateway()
	plain := s.Create(client.Definition{Table: "tasks", Where: "id > 0"})
	outer := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	s.Verify(plain, outer)
	// The gateway follows what it is asked for.
	res, err := http.Get(web + "/v1/shape?table=tasks&where=id%20%3E%200&offset=-1")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()

	s.Exec("INSERT INTO tasks VALUES (1001, 2, true, 'new')")
	s.Exec("BEGIN; INSERT INTO tasks VALUES (1002, 3, true, 'newer'); UPDATE projects SET active = true WHERE id = 3; COMMIT")
	s.Exec("INSERT INTO tasks SELECT i, 3, true, repeat('x', 1000) FROM generate_series(2001, 6000) i") // more than one fragment
	s.Verify(plain, outer)

	all := func(what, id string, want ...string) {
		t.Helper()
		s.Until(what+" is one trace", func() (bool, error) {
			for _, w := range want {
				if !slices.Contains(got.of(id), w) {
					return false, nil
				}
			}
			return true, nil
		}, func() string { return fmt.Sprintf("want %v, got %v", want, got.of(id)) })
	}
	n := 0
	count := func(to int) func(client.Commit) bool {
		n = 0
		return func(client.Commit) bool { n++; return n == to }
	}
	all("a small transaction", readTraced(s, plain, app, count(1)), "ingest commit", "consumer append", "gateway read", "app apply")
	id := readTraced(s, plain, app, count(2))
	all("one that changes a set", id, "ingest commit", "consumer append", "materializer verdict", "gateway read", "app apply")
	if unit := readTraced(s, outer, app, func(c client.Commit) bool { return c.Unit }); unit != id {
		t.Errorf("the unit of the shape with a subquery is in trace %s, its transaction in %s", unit, id)
	}
	large := readTraced(s, plain, app, count(3))
	all("a large one", large, "ingest commit", "consumer append", "gateway read", "app apply")

	// Each trace has one beginning, and everything else stands below it.
	got.mu.Lock()
	for id, spans := range got.traces {
		roots, lsns := 0, map[string]bool{}
		var root []byte
		for _, sp := range spans {
			if len(sp.GetParentSpanId()) == 0 {
				roots++
				root = sp.GetSpanId()
				lsns[sp.attribute("shapebus.lsn")] = true
			}
		}
		for _, sp := range spans {
			if roots == 1 && len(sp.GetParentSpanId()) > 0 && string(sp.GetParentSpanId()) != string(root) {
				t.Errorf("trace %s: the span %s of %s stands below none that is there", id, sp.GetName(), sp.service)
			}
		}
		if roots > 1 || len(lsns) > 1 {
			t.Errorf("trace %s has %d beginnings, of the transactions %v", id, roots, lsns)
		}
	}
	got.mu.Unlock()

	// A message with a context belongs to one transaction.
	messages, _ := traced(s, s.Source.ChangeStream())
	if len(messages) < 4 {
		t.Errorf("%d messages of the change log have a context", len(messages))
	}
	var dec wire.ChangeDecoder
	for _, m := range messages {
		lsns := map[change.LSN]bool{}
		if err := dec.Decode(m.Data, func(f *change.Fragment) error { lsns[f.LSN] = true; return nil }); err != nil || len(lsns) != 1 {
			t.Errorf("a message of %s with a context has the transactions %v, error %v", m.Subject, lsns, err)
		}
	}

	// The gateway passes it on.
	res, err = http.Get(web + "/v1/shape?table=tasks&where=id%20%3E%200&handle=" + plain.Handle() + "&offset=0_0")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || !strings.Contains(string(body), `"traceparent":"00-`+id) {
		t.Errorf("status %s: no change of the transaction with trace %s has its context in %.2000s, error %v", res.Status, id, body, err)
	}
}

// TestWithoutTracesNoMessageHasAContext: what nobody asked for is not there. And who does not trace passes on what others do.
func TestWithoutTracesNoMessageHasAContext(t *testing.T) {
	got := collect(t)
	s := stack.New(t, projectSchema)
	stop := s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	sh := s.Create(client.Definition{Table: "tasks"})
	streams := []string{s.Source.ChangeStream()}
	for p := range s.Consumer.Partitions {
		streams = append(streams, s.Source.ShapeStream(p))
	}
	s.Exec("INSERT INTO tasks VALUES (1001, 2, true, 'new')")
	s.Verify(sh)
	some := 0
	for _, name := range streams {
		with, without := traced(s, name)
		some += without
		if len(with) > 0 {
			t.Errorf("stream %s has %d messages with a context, which nobody asked for", name, len(with))
		}
	}
	if some == 0 {
		t.Error("there are no messages")
	}

	// Ingest alone begins to trace.
	stop()
	s.Ingest.Tracer = tracing.New(traces(t, "ingest").Provider(), s.Source)
	s.StartIngest()
	s.Exec("INSERT INTO tasks VALUES (1002, 2, true, 'new')")
	s.Verify(sh)
	with, _ := traced(s, s.Source.ShapeStream(sh.Info().Partition))
	if len(with) != 1 {
		t.Fatalf("%d messages of the shape's stream have a context, want 1", len(with))
	}
	id := strings.Split(with[0].Header.Get(topology.HeaderTrace), "-")[1]
	s.Until("ingest's span has come", func() (bool, error) { return slices.Equal(got.of(id), []string{"ingest commit"}), nil },
		func() string { return fmt.Sprint(got.of(id)) })
}
