package tracing_test

import (
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

func recording(sampler sdktrace.Sampler) (*tracing.Tracer, *tracetest.SpanRecorder) {
	rec := tracetest.NewSpanRecorder()
	return tracing.New(sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(rec), sdktrace.WithIDGenerator(tracing.IDs{})), "main"), rec
}

// What every message and every transaction pays where nothing is traced.
func TestTracingThatIsOffAllocatesNothing(t *testing.T) {
	var off *tracing.Tracer
	f := &change.Fragment{XID: 1, LSN: 2}
	log := wire.NewLogBuilder()
	log.Commit(f)
	header := stream.ChangeHeader(2, 1, false)
	at := time.Now()
	n := testing.AllocsPerRun(1000, func() {
		c := off.Commit(1, 2, at)
		if c.Context() != "" {
			t.Error("a context without tracing")
		}
		c.Sent(1)
		f.Trace = stream.Trace(header)
		log.Reset()
		log.Commit(f)
		off.Span(log.Trace(), "append", tracing.Producer, "handle", at).End(nil)
		stream.Traced(header, log.Trace())
	})
	if n != 0 {
		t.Errorf("%v allocations for each transaction", n)
	}
	if len(header) != len(stream.ChangeHeader(2, 1, false)) {
		t.Errorf("a header more than without tracing: %v", header)
	}
}

func TestTransactionsThatAreNotSampledHaveNoContext(t *testing.T) {
	tr, rec := recording(sdktrace.NeverSample())
	if c := tr.Commit(1, 2, time.Now()); c != nil || c.Context() != "" {
		t.Errorf("a context of one that is not sampled: %q", c.Context())
	}
	if got := tr.Span("", "append", tracing.Producer, "h", time.Now()); got != nil {
		t.Error("a span of no trace")
	}
	if got := tr.Span("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "append", tracing.Producer, "h", time.Now()); got != nil {
		t.Error("a span of a trace that is not sampled")
	}
	for _, bad := range []string{"x", "00-0", "\x00", "00-00000000000000000000000000000000-b7ad6b7169203331-01"} {
		tr, _ := recording(sdktrace.ParentBased(sdktrace.AlwaysSample()))
		if got := tr.Span(bad, "append", tracing.Producer, "h", time.Now()); got != nil {
			t.Errorf("a span of the context %q", bad)
		}
	}
	if len(rec.Ended()) != 0 {
		t.Error("spans that nobody sampled")
	}
}

func TestATransactionHasTheSameTraceInEveryLife(t *testing.T) {
	at := time.UnixMicro(1_700_000_000_000_000)
	one, _ := recording(sdktrace.AlwaysSample())
	two, _ := recording(sdktrace.AlwaysSample())
	a, b := one.Commit(7, 900, at), two.Commit(7, 900, at)
	if a.Context() != b.Context() || a.Context() == "" {
		t.Errorf("contexts %q and %q of one transaction", a.Context(), b.Context())
	}
	if c := one.Commit(7, 901, at); c.Context() == a.Context() {
		t.Errorf("one context of two transactions: %q", c.Context())
	}
}

func TestACommitEndsWhenAllItsMessagesAreStored(t *testing.T) {
	tr, rec := recording(sdktrace.AlwaysSample())
	at := time.Now().Add(-time.Second)
	c := tr.Commit(7, 900, at)
	first, second := c.Message(), c.Message()
	first()
	c.Sent(3)
	if n := len(rec.Ended()); n != 0 {
		t.Fatalf("%d spans ended before the last message was stored", n)
	}
	second()
	ended := rec.Ended()
	if len(ended) != 1 || !ended[0].StartTime().Equal(at) || ended[0].Name() != "commit" {
		t.Fatalf("ended: %v", ended)
	}
	tr.Span(c.Context(), "append", tracing.Producer, "h", time.Now()).End(nil)
	child := rec.Ended()[1]
	if child.SpanContext().TraceID() != ended[0].SpanContext().TraceID() || child.Parent().SpanID() != ended[0].SpanContext().SpanID() {
		t.Error("a span of another trace")
	}
	if got := tracing.Header(tracing.Context(t.Context(), c.Context())); got != c.Context() {
		t.Errorf("context %q became %q", c.Context(), got)
	}
}

// What a message is said to belong to.
func TestOnlyAMessageOfOneTraceHasIt(t *testing.T) {
	log := wire.NewLogBuilder()
	a, b, none := &change.Fragment{LSN: 1, Trace: "a"}, &change.Fragment{LSN: 2, Trace: "b"}, &change.Fragment{LSN: 3}
	for _, c := range []struct {
		of   []*change.Fragment
		want string
	}{
		{[]*change.Fragment{a}, "a"},
		{[]*change.Fragment{a, a}, "a"},
		{[]*change.Fragment{a, b}, ""},
		{[]*change.Fragment{a, b, b}, ""},
		{[]*change.Fragment{a, none}, ""},
		{[]*change.Fragment{none, a}, ""},
		{[]*change.Fragment{none}, ""},
	} {
		log.Reset()
		for _, f := range c.of {
			log.Op(f, 0, change.Insert, nil, nil)
			log.Commit(f)
		}
		if got := log.Trace(); got != c.want {
			t.Errorf("trace %q of %d entries, want %q", got, len(c.of), c.want)
		}
	}
	log.Reset()
	log.Abort()
	log.Commit(a)
	if log.Trace() != "" {
		t.Error("what follows an abort entry in one message has a trace")
	}
}
