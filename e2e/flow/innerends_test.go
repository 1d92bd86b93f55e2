package flow

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/ownership"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// apart is a shape with a subquery whose inner shape is in the partition of another process, which the test plays.
type apart struct {
	*stack.Stack

	theirs int // the partition of the other process
	outer  *client.Shape
	spare  *client.Shape // in the consumer's partition, with nothing that depends on it
	leave  func()        // has the other process go
}

func newApart(t *testing.T) *apart {
	t.Helper()
	a := &apart{Stack: poisonStack(t)}
	stop := a.StartConsumer()
	a.StartMaterializer()
	outers := []*client.Shape{createOuterIn(a.Stack, 1, 0), createOuterIn(a.Stack, 0, 1)} // by the partition of the inner shape
	spares := []*client.Shape{createIn(a.Stack, 1, "tasks", "project > 2"), createIn(a.Stack, 0, "tasks", "project > 2")}
	a.Verify(append(outers, spares...)...)
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	held := map[int]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = ownership.Run(ctx, ownership.Config{
			NATS: a.JS.Conn(), JS: a.JS, Source: a.Source, Role: topology.RoleConsumer, Name: "the test", Partitions: registry.NewPartitions(2),
			Log: slog.New(slog.DiscardHandler), Moves: new(atomic.Int64),
		}, func() {}, func(ctx context.Context, h ownership.Held) {
			mu.Lock()
			held[h.Partition] = true
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			delete(held, h.Partition)
			mu.Unlock()
		})
	}()
	await := func(n int) {
		a.Until("the other process holds its share", func() (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			for p := range held {
				a.theirs = p
			}
			return len(held) == n, nil
		}, func() string { return "" })
	}
	await(2)
	consumer := a.StartMember()
	await(1)
	a.Until("the consumer holds the other partition", func() (bool, error) { return consumer.Owned() == 1, nil }, consumer.Trouble)
	a.outer, a.spare = outers[a.theirs], spares[a.theirs]
	a.Verify(a.spare) // its session runs
	a.leave = func() { cancel(); <-done }
	return a
}

// inner is the inner shape's handle.
func (a *apart) inner() string { return a.outer.Info().Subqueries[0] }

// told waits until the consumer has acted on all changes of records up to now, which come to it in order.
func (a *apart) told() {
	a.TB.Helper()
	if err := a.spare.Delete(a.TB.Context()); err != nil {
		a.TB.Fatal(err)
	}
	a.Until("the consumer has been told", func() (bool, error) {
		_, ended, err := lastWord(a.TB.Context(), a.Stack, a.spare)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return true, nil
		}
		return ended, nil
	}, func() string { return "" })
}

// An inner shape ends while its partition moves to the process of a shape that selects from it: the last word is in its log, and
// its record says so only when the other process holds the partition, and has not taken it in yet.
func TestAnInnerShapeEndsWhileItsPartitionMoves(t *testing.T) {
	const reason = "table projects was altered"
	for _, during := range []bool{false, true} {
		t.Run(map[bool]string{false: "before", true: "during"}[during], func(t *testing.T) {
			a := newApart(t)
			st, err := a.JS.Stream(t.Context(), a.Source.ShapeStream(a.theirs))
			if err != nil {
				t.Fatal(err)
			}
			log := a.Source.LogSubject(a.theirs, a.inner())
			m, err := st.GetLastMsgForSubject(t.Context(), log)
			if err != nil {
				t.Fatal(err)
			}
			tail, err := wire.ParseTail(m.Header.Get(topology.HeaderTail))
			if err != nil {
				t.Fatal(err)
			}
			b := wire.NewLogBuilder()
			b.End(reason)
			word := b.Finish()
			tail.Ended, tail.Bytes = true, tail.Bytes+int64(len(word))
			if _, err := a.JS.PublishMsg(t.Context(), &nats.Msg{Subject: log, Header: nats.Header{topology.HeaderTail: {tail.String()}}, Data: word}); err != nil {
				t.Fatal(err)
			}
			closeRecord := func() {
				shapes, err := registry.OpenShapes(t.Context(), a.JS, a.Source)
				if err != nil {
					t.Fatal(err)
				}
				_, err = shapes.Change(t.Context(), a.inner()[:16], func(r *registry.Shape) bool {
					r.State, r.Reason = control.StateEnded, reason
					return true
				})
				if err != nil {
					t.Fatal(err)
				}
				a.told()
			}
			if !during {
				closeRecord()
			}
			room := fill(a.Stack, a.theirs) // so that the consumer needs a moment to take the partition in
			a.leave()
			isDown(a.Stack, a.theirs, true)
			if during {
				closeRecord()
			}
			room()
			isDown(a.Stack, a.theirs, false)
			endedFor(a.Stack, reason, a.outer)
		})
	}
}

// The record of an inner shape that another process runs cannot be read, and is removed: the other one ends its log, and nothing
// more comes of the record. What selects from it here ends.
func TestTheInnerRecordOfAnotherProcessCannotBeRead(t *testing.T) {
	a := newApart(t)
	kv, err := a.JS.KeyValue(t.Context(), a.Source.ShapeBucket())
	if err != nil {
		t.Fatal(err)
	}
	id := a.inner()[:16]
	if _, err := kv.Put(t.Context(), id, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	a.told()
	if err := kv.Delete(t.Context(), id); err != nil { // as docs/OPERATIONS.md says
		t.Fatal(err)
	}
	endedFor(a.Stack, "cannot be read", a.outer)
}
