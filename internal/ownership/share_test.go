package ownership_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
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

	partitions *registry.Partitions
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	w := &world{t: t, server: natstest.Start(t), works: map[int]string{}, partitions: registry.NewPartitions(partitions)}
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

// join adds a process. through may put something between it and JetStream.
func (w *world) join(name string, through ...func(jetstream.JetStream) jetstream.JetStream) *member {
	w.t.Helper()
	nc, js := w.dial()
	for _, f := range through {
		js = f(js)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	joined, over := make(chan struct{}), make(chan struct{})
	known := w.partitions
	var once sync.Once
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			err := ownership.Run(ctx, ownership.Config{
				NATS: nc, JS: js, Source: source, Role: topology.RoleConsumer, Name: name, Partitions: known,
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
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
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
		<-tick.C
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
	w.asked("a") // who asks a neighbour does so only when that has been there for a while
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

// TestASourceThatGrowsIsSharedOn: what is new is shared among those who are there, and nothing that was held moves. One that
// hears of it late holds nobody up.
func TestASourceThatGrowsIsSharedOn(t *testing.T) {
	w := newWorld(t)
	w.join("a")
	w.join("b")
	w.await(map[string]int{"a": 4, "b": 4})
	before := w.owners()
	late := registry.NewPartitions(partitions)
	soon := w.partitions
	w.partitions = late
	w.join("late")
	w.await(map[string]int{"a": 3, "b": 3, "late": 2})
	soon.Raise(20)
	w.await(map[string]int{"a": 7, "b": 7, "late": 2})
	late.Raise(20)
	w.await(map[string]int{"a": 7, "b": 7, "late": 6})
	moved := 0
	for p, m := range w.owners() {
		if p < partitions && m != before[p] {
			moved++
		}
	}
	if moved != 2 { // those that the third got when it came
		t.Errorf("%d partitions of before are another's", moved)
	}
}

// owners are who works on which partition.
func (w *world) owners() map[int]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.works)
}

// asked waits until a process is asked by its neighbour whether it is there.
func (w *world) asked(name string) {
	w.t.Helper()
	nc, js := w.dial()
	kv, err := js.KeyValue(w.t.Context(), source.MemberBucket())
	ok(w.t, err)
	e, err := kv.Get(w.t.Context(), topology.MemberKey(topology.RoleConsumer, name))
	ok(w.t, err)
	sub, err := nc.SubscribeSync(source.MemberSubject(strings.Fields(string(e.Value()))[1]))
	ok(w.t, err)
	defer sub.Unsubscribe() //nolint:errcheck // it ends with the connection
	_, err = sub.NextMsg(patience)
	ok(w.t, err)
}

// stubborn keeps leases: it fails to delete keys.
type stubborn struct {
	jetstream.JetStream

	fail *atomic.Int32 // how many times
}

func (s *stubborn) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	kv, err := s.JetStream.KeyValue(ctx, bucket)
	return &stubbornBucket{kv, s.fail}, err
}

type stubbornBucket struct {
	jetstream.KeyValue

	fail *atomic.Int32
}

func (b *stubbornBucket) Delete(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	if b.fail.Add(-1) >= 0 {
		return nats.ErrTimeout
	}
	return b.KeyValue.Delete(ctx, key, opts...)
}

// TestALeaseThatIsNotGivenBackIsNotForgotten: the server does not answer when partitions are to be given to one that comes, nor
// when it has gone again before they were. They are given, or worked on again.
func TestALeaseThatIsNotGivenBackIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	var fail atomic.Int32
	w.join("a", func(js jetstream.JetStream) jetstream.JetStream { return &stubborn{js, &fail} })
	w.await(map[string]int{"a": 8})
	fail.Store(6) // four partitions, and two of them again
	b := w.join("b")
	w.await(map[string]int{"a": 4, "b": 4})
	b.stop()
	w.await(map[string]int{"a": 8})

	fail.Store(1 << 20)
	b = w.join("b")
	w.await(map[string]int{"a": 4})
	b.stop()
	w.await(map[string]int{"a": 8})
	fail.Store(0)
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
