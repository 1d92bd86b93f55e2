package shapes

import (
	"context"
	"errors"
	"testing"

	"github.com/shapebus/shapebus/pkg/client"
)

// following is a shape as it is behind begin, and what its follower was ended with.
func following(t *testing.T) (s *Shape, ended func() error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	return &Shape{shape: &client.Shape{}, cancel: cancel, changed: make(chan struct{})}, func() error { return context.Cause(ctx) }
}

// TestAShapeIsFollowedOnce: it was asked for in two ways at the same time, before it could be read.
func TestAShapeIsFollowedOnce(t *testing.T) {
	k := &Keeper{byDef: map[string]*Shape{}, byHandle: map[string]*Shape{}}
	first, firstEnded := following(t)
	second, secondEnded := following(t)
	if got := k.admitLocked("a", first); got != first {
		t.Error("the first is not taken")
	}
	if got := k.admitLocked("b", second); got != first || !errors.Is(secondEnded(), errTwice) || firstEnded() != nil {
		t.Errorf("the second is taken (%t), and the followers ended with %v and %v", got == second, firstEnded(), secondEnded())
	}
	if k.byDef["a"] != first || k.byDef["b"] != first || len(k.byHandle) != 1 {
		t.Errorf("known are %v and %v", k.byDef, k.byHandle)
	}
	// Another one takes over from one that has ended, and what is left of that does not take it away.
	first.err = ErrOver
	third, thirdEnded := following(t)
	if got := k.admitLocked("a", third); got != third || k.byHandle[third.Handle()] != third {
		t.Error("the next one is not taken")
	}
	k.dropLocked(first)
	if k.byHandle[third.Handle()] != third || k.byDef["a"] != third || thirdEnded() != nil {
		t.Errorf("what ended before takes the next one away: %v, %v", k.byHandle, thirdEnded())
	}
}
