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
	a := registry.NewMember("a")
	seen := make(chan []string, 100)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan error, 1)
	go func() {
		watched <- members.Watch(watching, "worker", a, func(members []registry.Member) {
			names := []string{}
			for _, m := range members {
				name := m.Name
				if m.Leaving {
					name += " leaves"
				}
				names = append(names, name)
			}
			seen <- names
		})
	}()
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
	leaving := make(chan struct{}) // b's
	join := func(role string, m registry.Member) (leave func()) {
		holding, cancel := context.WithCancel(ctx)
		joined, held := make(chan struct{}), make(chan error, 1)
		var leaves chan struct{}
		if m.Name == "b.local" {
			leaves = leaving
		}
		go func() { held <- members.Hold(holding, role, m, leaves, func() { close(joined) }) }()
		select {
		case <-joined:
		case err := <-held:
			t.Fatal(err)
		}
		return func() { cancel(); ok(t, <-held) }
	}
	want()
	b := registry.NewMember("b.local")
	leaveB := join("worker", b)
	want("b.local")
	leaveOther := join("reader", registry.NewMember("a"))
	leaveA := join("worker", a)
	want("a", "b.local")
	ok(t, members.Dismiss(ctx, "worker", registry.NewMember("b.local"))) // another incarnation than is there
	close(leaving)
	want("a", "b.local leaves")
	leaveB()
	want("a")
	leaveC := join("worker", registry.NewMember("c"))
	want("a", "c")
	ok(t, members.Dismiss(ctx, "worker", registry.Member{Name: "nobody"}))
	leaveC()
	want("a")

	// One that dies counts for a while; one that lives goes on counting.
	kv, err := js.KeyValue(ctx, source.MemberBucket())
	ok(t, err)
	began := time.Now()
	_, err = kv.Create(ctx, topology.MemberKey("worker", "dead"), []byte("dead X"), jetstream.KeyTTL(topology.MemberTTL))
	ok(t, err)
	want("a", "dead")
	want("a")
	if took := time.Since(began); took < topology.MemberTTL-time.Second || took > topology.MemberTTL+5*time.Second {
		t.Errorf("the dead one counted for %s, want %s", took, topology.MemberTTL)
	}
	// One that the server does not know that it has to drop, as when it has lost its latest writes.
	_, err = kv.Put(ctx, topology.MemberKey("worker", "forgotten"), []byte("forgotten X"))
	ok(t, err)
	want("a", "forgotten")
	want("a")
	leaveA()
	want()
	leaveOther()
	stop()
	ok(t, <-watched)
}

// TestWhoIsGoneIsDismissed: what is there is dismissed as the incarnation that it is, and a member that lives comes back.
func TestWhoIsGoneIsDismissed(t *testing.T) {
	t.Parallel()
	ctx, js, _ := open(t)
	ok(t, source.EnsureMembers(ctx, js, 1))
	members, err := registry.OpenMembers(ctx, js, source)
	ok(t, err)
	me, other := registry.NewMember("me"), registry.NewMember("other name")
	seen := make(chan []registry.Member, 100)
	go members.Hold(ctx, "worker", me, nil, func() {})                           //nolint:errcheck // it ends with the test
	go members.Watch(ctx, "worker", me, func(m []registry.Member) { seen <- m }) //nolint:errcheck // it ends with the test
	other.Leaving = true
	go members.Hold(ctx, "worker", other, nil, func() {}) //nolint:errcheck // it ends with the test
	await := func(present bool) {
		t.Helper()
		for {
			select {
			case now := <-seen:
				if slices.ContainsFunc(now, other.Is) == present {
					if present && !slices.Contains(now, other) {
						t.Errorf("%v, want %v among them as it is", now, other)
					}
					return
				}
			case <-ctx.Done():
				t.Fatalf("the other one: never seen %t", present)
			}
		}
	}
	await(true)
	ok(t, members.Dismiss(ctx, "worker", other))
	await(false)
	await(true)
}
