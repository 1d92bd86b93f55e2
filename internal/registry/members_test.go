package registry_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestMembersAreSeenComingAndGoing(t *testing.T) {
	t.Parallel()
	ctx, js, _ := open(t)
	ok(t, source.EnsureMembers(ctx, js, 1))
	members, err := registry.OpenMembers(ctx, js, source)
	ok(t, err)
	seen := make(chan []string, 100)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan error, 1)
	go func() { watched <- members.Watch(watching, "worker", "a", func(names []string) { seen <- names }) }()
	want := func(names ...string) {
		t.Helper()
		for {
			select {
			case got := <-seen:
				if slices.Equal(got, names) {
					return
				}
			case <-ctx.Done():
				t.Fatalf("never saw %q", names)
			}
		}
	}
	join := func(role, name string) (leave func()) {
		holding, cancel := context.WithCancel(ctx)
		joined, held := make(chan struct{}), make(chan error, 1)
		go func() { held <- members.Hold(holding, role, name, func() { close(joined) }) }()
		select {
		case <-joined:
		case err := <-held:
			t.Fatal(err)
		}
		return func() { cancel(); ok(t, <-held) }
	}
	want()
	leaveB := join("worker", "b.local")
	want("b.local")
	leaveOther := join("reader", "a")
	leaveA := join("worker", "a")
	want("a", "b.local")
	leaveB()
	want("a")

	// One that dies counts for a while; one that lives goes on counting.
	kv, err := js.KeyValue(ctx, source.MemberBucket())
	ok(t, err)
	began := time.Now()
	_, err = kv.Create(ctx, topology.MemberKey("worker", "dead"), []byte("dead"), jetstream.KeyTTL(topology.MemberTTL))
	ok(t, err)
	want("a", "dead")
	want("a")
	if took := time.Since(began); took < topology.MemberTTL-time.Second || took > topology.MemberTTL+5*time.Second {
		t.Errorf("the dead one counted for %s, want %s", took, topology.MemberTTL)
	}
	// One that the server does not know that it has to drop, as when it has lost its latest writes.
	_, err = kv.Put(ctx, topology.MemberKey("worker", "forgotten"), []byte("forgotten"))
	ok(t, err)
	want("a", "forgotten")
	want("a")
	leaveA()
	want()
	leaveOther()
	stop()
	ok(t, <-watched)
}
