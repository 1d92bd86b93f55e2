package plane

import (
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
)

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
