package ownership_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/ownership"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
)

const (
	source     = topology.Source("main")
	partitions = 8
	patience   = time.Minute
)

// world is who works on which partition, and that no two do.
type world struct {
	t      *testing.T
	server *natsembed.Server
	mu     sync.Mutex
	works  map[int]string
	moves  atomic.Int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	w := &world{t: t, server: natstest.Start(t), works: map[int]string{}}
	_, js := w.dial()
	ok(t, source.EnsureRegistry(t.Context(), js, 1))
	ok(t, source.EnsureMembers(t.Context(), js, 1))
	return w
}

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (w *world) dial() (*nats.Conn, jetstream.JetStream) {
	w.t.Helper()
	nc, err := w.server.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	ok(w.t, err)
	w.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	ok(w.t, err)
	return nc, js
}

// member is a process that takes part.
type member struct {
	name string
	nc   *nats.Conn
	stop func() // softly; waits
}

func (w *world) join(name string) *member {
	w.t.Helper()
	nc, js := w.dial()
	ctx, cancel := context.WithCancel(w.t.Context())
	joined, over := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			err := ownership.Run(ctx, ownership.Config{
				NATS: nc, JS: js, Source: source, Role: topology.RoleConsumer, Name: name, Partitions: partitions,
				Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)).With(slog.String("process", name)), Moves: &w.moves,
			}, func() { once.Do(func() { close(joined) }) }, func(ctx context.Context, h ownership.Held) {
				w.mu.Lock()
				if is := w.works[h.Partition]; is != "" && nc.IsConnected() {
					w.t.Errorf("%s works on partition %d, and %s too", name, h.Partition, is)
				}
				w.works[h.Partition] = name
				w.mu.Unlock()
				<-ctx.Done()
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.works[h.Partition] == name {
					delete(w.works, h.Partition)
				}
			})
			if err != nil && ctx.Err() == nil && nc.IsConnected() {
				w.t.Errorf("%s: %v", name, err)
			}
		}
	}()
	select {
	case <-joined:
	case <-time.After(patience):
		w.t.Fatal(name, "never joined")
	}
	stop := sync.OnceFunc(func() { cancel(); <-over })
	w.t.Cleanup(stop)
	return &member{name, nc, stop}
}

// await waits until each of these works on as many partitions, and nobody else on any.
func (w *world) await(want map[string]int) time.Duration {
	w.t.Helper()
	began := time.Now()
	for {
		w.mu.Lock()
		have := map[string]int{}
		for _, m := range w.works {
			have[m]++
		}
		w.mu.Unlock()
		if fmt.Sprint(have) == fmt.Sprint(want) {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			w.t.Fatalf("partitions are shared as %v, want %v", have, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestPartitionsAreShared(t *testing.T) {
	w := newWorld(t)
	a := w.join("a")
	w.await(map[string]int{"a": 8})
	w.join("b")
	w.await(map[string]int{"a": 4, "b": 4})
	c := w.join("c")
	w.await(map[string]int{"a": 3, "b": 3, "c": 2})

	t.Log("one that leaves softly")
	c.stop()
	took := w.await(map[string]int{"a": 4, "b": 4})
	if took > topology.MemberTTL/2 {
		t.Errorf("its partitions were free after %s", took)
	}

	t.Log("one whose connection is gone is missed long before its announcement runs out")
	began := w.moves.Load()
	time.Sleep(1500 * time.Millisecond) // a neighbour is asked only when it has been there for a while
	a.nc.Close()
	w.mu.Lock()
	for p, m := range w.works {
		if m == "a" {
			delete(w.works, p)
		}
	}
	w.mu.Unlock()
	took = w.await(map[string]int{"b": 8})
	if took > topology.MemberTTL-500*time.Millisecond {
		t.Errorf("its partitions were taken after %s", took)
	}
	if n := w.moves.Load() - began; n < 4 {
		t.Errorf("%d moves were counted", n)
	}
}

// TestOneThatIsSilentIsForgotten: a holder that is connected and does nothing more is not a member when its announcement
// has run out.
func TestOneThatIsSilentIsForgotten(t *testing.T) {
	w := newWorld(t)
	_, js := w.dial()
	h, err := registry.OpenHoldings(t.Context(), js, source, topology.RoleConsumer)
	ok(t, err)
	for p := range partitions {
		_, err := h.Take(t.Context(), p, registry.NewMember("dead"), registry.Holding{})
		ok(t, err)
	}
	w.join("a")
	w.await(map[string]int{"a": 8})
}
