package shapelog

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// TestTailsAreReadHoweverLargeTheLastMessages reads the ends of logs that are
// more than the server sends in one answer, or in the time that the client
// library gives it: a log taken for empty would be written a second time.
func TestTailsAreReadHoweverLargeTheLastMessages(t *testing.T) {
	if testing.Short() {
		t.Skip("stores 80 MB")
	}
	_, js := natstest.Conn(t)
	source := topology.Source("big")
	if err := source.EnsureShapeLogs(t.Context(), js, 1, topology.ShapeLogConfig{}); err != nil {
		t.Fatal(err)
	}
	const logs = 100
	body := make([]byte, 800<<10)
	var records []*registry.Shape
	for i := range logs + 20 {
		rec := &registry.Shape{Handle: fmt.Sprintf("shape-%d", i)}
		records = append(records, rec)
		if i >= logs {
			continue // and some logs are empty
		}
		tail := wire.Tail{Began: true, Last: change.Offset{LSN: change.LSN(i + 1)}}
		m := &nats.Msg{Subject: source.LogSubject(0, rec.Handle), Header: stream.Header(topology.HeaderTail, tail.String()), Data: body}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	tails := NewTails()
	if err := ReadTails(t.Context(), js, source, records, &tails); err != nil {
		t.Fatal(err)
	}
	if len(tails.Of) != logs || len(tails.Bad) != 0 {
		t.Fatalf("%d tails of %d, %d cannot be read", len(tails.Of), logs, len(tails.Bad))
	}
	for i, rec := range records[:logs] {
		if got := tails.Of[rec.Handle]; got.Last.LSN != change.LSN(i+1) || !got.Began {
			t.Errorf("log %d ends at %s", i, got)
		}
	}
}
