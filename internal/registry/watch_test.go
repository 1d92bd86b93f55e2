package registry_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
)

// TestNobodyWaitsForEverForAWatcher: the request for a watcher gets no answer, as when the connection
// breaks behind it. Here the server refuses it, which it tells the connection only.
func TestNobodyWaitsForEverForAWatcher(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	defer registry.SetWatchSilence(200 * time.Millisecond)()
	connect := denied(t, "$JS.API.CONSUMER.CREATE.>")
	ctx := within(t)
	ok(t, source.EnsureRegistry(ctx, connect("all"), 1))
	ok(t, source.EnsureMembers(ctx, connect("all"), 1))
	js := connect("some")
	shapes, err := registry.OpenShapes(ctx, js, source)
	ok(t, err)
	members, err := registry.OpenMembers(ctx, js, source)
	ok(t, err)
	for name, watch := range map[string]func(context.Context) error{
		"shapes": func(ctx context.Context) error { return shapes.Watch(ctx, func(registry.Event) {}, func() {}) },
		"members": func(ctx context.Context) error {
			return members.Watch(ctx, "r", registry.NewMember("me"), func([]registry.Member) {})
		},
	} {
		if err := watch(ctx); err == nil || !strings.Contains(err.Error(), "has not answered") || !strings.Contains(err.Error(), name) {
			t.Errorf("a watcher of %s that cannot be had: %v", name, err)
		}
	}
}

// TestAWatcherEndsWithItsContext also where the server does not answer that it has forgotten the watcher, as while the bucket
// has no leader. A process that takes part anew after a failover would wait for that.
func TestAWatcherEndsWithItsContext(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	connect := denied(t, "$JS.API.CONSUMER.DELETE.>")
	ctx := within(t)
	ok(t, source.EnsureRegistry(ctx, connect("all"), 1))
	shapes, err := registry.OpenShapes(ctx, connect("some"), source)
	ok(t, err)
	watching, end := context.WithCancel(ctx)
	var began time.Time
	ok(t, shapes.Watch(watching, func(registry.Event) {}, func() { began = time.Now(); end() }))
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %s until the watcher ended", took)
	}
}

// denied starts a server with a user "all", and a user "some" who may not publish on some subjects: who asks there gets no
// answer. It returns what connects a user.
func denied(t *testing.T, subjects ...string) (connect func(user string) jetstream.JetStream) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		Users: []*server.User{
			{Username: "all", Password: "p"},
			{Username: "some", Password: "p", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: subjects}}},
		},
	})
	ok(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server is not ready")
	}
	return func(user string) jetstream.JetStream {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		ok(t, err)
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		ok(t, err)
		return js
	}
}

// TestWhoeverHearsNothingOfItselfIsTold: a member that announces itself hears of that.
func TestWhoeverHearsNothingOfItselfIsTold(t *testing.T) {
	t.Parallel()
	ctx, js, _ := open(t)
	ok(t, source.EnsureMembers(ctx, js, 1))
	members, err := registry.OpenMembers(ctx, js, source)
	ok(t, err)
	began := time.Now()
	if err := members.Watch(ctx, "r", registry.NewMember("me"), func([]registry.Member) {}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("nobody announces anything: %v after %s", err, time.Since(began))
	}
}
