package shapelog

import (
	"maps"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// TestWhatAnInterruptedRemovalLeftIsSwept: a log that has ended goes when its retention is over, also one that somebody died over. Of one that is
// known its owner takes care, and what has not ended stays.
func TestWhatAnInterruptedRemovalLeftIsSwept(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	nc, js := natstest.Conn(t)
	source := topology.Source("sweep")
	if err := source.EnsureShapeLogs(t.Context(), js, 1, topology.ShapeLogConfig{}); err != nil {
		t.Fatal(err)
	}
	p := NewPartition(&Config{NATS: nc, JS: js, Source: source}, 0)
	store := func(subject string, ended bool) {
		t.Helper()
		m := &nats.Msg{Subject: subject, Header: stream.Header(topology.HeaderTail, wire.Tail{Began: true, Ended: ended}.String())}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{}
	for handle, c := range map[string]struct {
		ended, whole, stays bool
	}{
		"removed-1":  {true, false, false},
		"left-1":     {true, true, false},
		"known-1":    {true, true, true},
		"goes-on-1":  {false, true, true},
		"its-only-1": {false, false, true},
	} {
		if c.whole {
			store(source.SegmentSubject(0, handle, 1), false)
			store(source.LogSubject(0, handle), false)
		}
		store(source.LogSubject(0, handle), c.ended)
		if c.stays {
			want = append(want, source.LogSubject(0, handle))
		}
	}
	if err := p.Sweep(t.Context(), 0, func(handle string) bool { return handle == "known-1" }); err != nil {
		t.Fatal(err)
	}
	left, err := p.Logs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(left)
	if slices.Sort(want); !slices.Equal(left, want) {
		t.Errorf("%v are left, want %v", left, want)
	}
	rows := map[string]int{}
	for _, handle := range []string{"left-1", "known-1"} {
		segments, err := p.Segments(t.Context(), handle)
		if err != nil {
			t.Fatal(err)
		}
		rows[handle] = len(segments)
	}
	if !maps.Equal(rows, map[string]int{"left-1": 0, "known-1": 1}) {
		t.Errorf("segments that are left: %v", rows)
	}
}
