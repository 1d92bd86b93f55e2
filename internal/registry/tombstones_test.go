package registry_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
)

// TestMarkersOfRemovedShapesGo makes and removes shapes: nothing of them stays in the bucket, and those that are there, or
// have come back, are not touched.
func TestMarkersOfRemovedShapesGo(t *testing.T) { // not parallel: it shortens what others rely on
	ctx, js, shapes := open(t)
	messages := func() uint64 {
		t.Helper()
		st, err := js.Stream(ctx, "KV_"+source.ShapeBucket())
		ok(t, err)
		return st.CachedInfo().State.Msgs
	}
	const n = 20
	for i := range n {
		s := record(id(string(rune('a' + i))))
		ok(t, shapes.Put(ctx, s))
		if i > 0 {
			ok(t, shapes.Delete(ctx, s))
		}
	}
	back := record(id("b"))
	ok(t, shapes.Put(ctx, back))
	if got := messages(); got != n {
		t.Fatalf("%d messages, want %d", got, n)
	}
	swept, err := registry.SweepTombstones(ctx, js, source.ShapeBucket())
	ok(t, err)
	if swept != 0 || messages() != n {
		t.Errorf("%d markers were swept a moment after the removal", swept)
	}
	defer registry.SetTombstoneAge(0)()
	swept, err = registry.SweepTombstones(ctx, js, source.ShapeBucket())
	ok(t, err)
	if swept != n-2 || messages() != 2 {
		t.Errorf("%d markers were swept, %d messages are left; want %d and 2", swept, messages(), n-2)
	}
	ids, err := shapes.IDs(ctx)
	ok(t, err)
	if want := []string{id("a"), id("b")}; !slices.Equal(ids, want) {
		t.Errorf("shapes %q, want %q", ids, want)
	}
	again := record(id("c"))
	ok(t, shapes.Put(ctx, again))
	back.Reason = "changed"
	ok(t, shapes.Put(ctx, back))
	if _, err := registry.SweepTombstones(ctx, js, "SB-none-shapes"); !errors.Is(err, jetstream.ErrBucketNotFound) {
		t.Errorf("a bucket that is not there: %v", err)
	}
}

// TestProcessesThatCameAndWentLeaveNothing has many processes announce themselves, each under a name of its own, as they do
// under an orchestrator.
func TestProcessesThatCameAndWentLeaveNothing(t *testing.T) {
	t.Parallel()
	ctx, js, _ := open(t)
	ok(t, source.EnsureMembers(ctx, js, 1))
	members, err := registry.OpenMembers(ctx, js, source)
	ok(t, err)
	for _, name := range []string{"a", "b", "c"} {
		holding, end := context.WithCancel(ctx)
		joined, held := make(chan struct{}), make(chan error, 1)
		go func() {
			held <- members.Hold(holding, "worker", registry.NewMember(name), nil, func() { close(joined) })
		}()
		<-joined
		end()
		ok(t, <-held)
	}
	deadline := time.Now().Add(patience)
	for left := uint64(1); left > 0; {
		st, err := js.Stream(ctx, "KV_"+source.MemberBucket())
		ok(t, err)
		if left = st.CachedInfo().State.Msgs; left > 0 && time.Now().After(deadline) {
			t.Fatalf("%d messages stay, %s after the processes have gone", left, topology.MemberTTL)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
