package plane

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
)

func TestWhatWaitsIsBounded(t *testing.T) {
	var bytes atomic.Int64
	l, other := newLane(&bytes), newLane(&bytes)
	ask := func(l *lane, size int) error {
		return l.admit(&request{msg: &nats.Msg{Data: make([]byte, size)}, to: &endpoint{}})
	}
	if err := ask(l, maxRequest+1); err == nil || err.(*requestError).code != control.CodeBadRequest { //nolint:errorlint,errcheck // as it is
		t.Errorf("a request that is too large: %v", err)
	}
	taken := 0
	for ask(l, maxRequest) == nil {
		taken++
	}
	if taken != maxWaitingBytes/maxRequest {
		t.Errorf("%d large requests wait", taken)
	}
	if err := ask(other, maxRequest); err == nil || err.(*requestError).code != control.CodeUnavailable { //nolint:errorlint,errcheck // as it is
		t.Errorf("one more: %v", err)
	}
	if n := len(l.rest()); n != taken || bytes.Load() != 0 {
		t.Errorf("%d of %d waited, %d bytes are left", n, taken, bytes.Load())
	}
	taken = 0
	for ask(l, 1) == nil {
		taken++
	}
	if taken != maxWaiting {
		t.Errorf("%d small requests wait", taken)
	}
	if err := ask(other, 1); err != nil {
		t.Errorf("a request of another kind: %v", err)
	}
	now := time.Now()
	if (&request{until: now}).late(now) == nil || (&request{until: now.Add(1)}).late(now) != nil {
		t.Error("what is late is not told from what is not")
	}
}

func TestShapesAreCounted(t *testing.T) {
	rec := func(state control.State, where string) *registry.Shape {
		return &registry.Shape{State: state, Definition: shape.Definition{Where: where, Params: []*string{new("12345"), nil}}}
	}
	n := newCount()
	for _, e := range []registry.Event{
		{ID: "a", Shape: rec(control.StateCreating, "1234567890")},
		{ID: "b", Shape: rec(control.StateLive, "1")},
		{ID: "c", Err: registry.ErrUnreadable},
		{ID: "a", Shape: rec(control.StateLive, "1234567890")},
		{ID: "d", Shape: rec(control.StateLive, "")},
		{ID: "d"},
		{ID: "e"},
	} {
		n.take(e)
	}
	if n.states[control.StateLive] != 2 || n.states[control.StateCreating] != 0 || n.unreadable != 1 || n.bytes != 21 {
		t.Errorf("%+v", n)
	}
	n.take(registry.Event{ID: "a", Shape: rec(control.StateEnded, "1234567890")})
	n.take(registry.Event{ID: "c"})
	if n.states[control.StateLive] != 1 || n.states[control.StateEnded] != 1 || n.unreadable != 0 || n.bytes != 6 {
		t.Errorf("%+v", n)
	}
	c := newCensus()
	c.now = n
	close(c.loaded)
	if shapes, bytes := c.alive(); shapes != 1 || bytes != 6 {
		t.Errorf("%d shapes, %d bytes", shapes, bytes)
	}
	for quotas, ok := range map[Quotas]bool{{}: true, {Shapes: 1}: false, {Shapes: 2}: true, {ClauseBytes: 10}: false, {ClauseBytes: 12}: true} {
		if err := quotas.check(t.Context(), c, rec(control.StateCreating, "1")); (err == nil) != ok {
			t.Errorf("%+v: %v", quotas, err)
		}
	}
}
