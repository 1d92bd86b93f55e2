package flow

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestTheLeaseIsGivenBackBehindTheLastCheckpoint stops a consumer for which a successor waits.
// Once that has the lease, nothing of its predecessor is stored any more.
func TestTheLeaseIsGivenBackBehindTheLastCheckpoint(t *testing.T) {
	s := stack.New(t, tasks)
	s.Consumer.Checkpoint, s.Consumer.Partitions = time.Hour, 2 // no checkpoint but the last
	var stopping atomic.Bool
	taken := make(chan struct{})
	const grace = 300 * time.Millisecond // what a lease that is given back too early takes to be taken
	var once sync.Once
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p != failpoint.BeforeCheckpoint || !stopping.Load() {
			return
		}
		once.Do(func() {
			select {
			case <-taken:
			case <-time.After(grace):
			}
		})
	}
	s.StartIngest()
	stop := s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	before := ends(t, s)
	was := s.Await(sh, "live", func(control.Shape) bool { return true }).Rows
	s.Exec("INSERT INTO tasks VALUES (1000)")
	s.Await(sh, "one row larger", func(i control.Shape) bool { return i.Rows == was+1 })

	found := make(chan map[int]uint64, 1)
	go func() {
		defer close(taken)
		for {
			_, err := new(registry.Applicant).Acquire(t.Context(), s.JS, s.Source, "consumer", "the successor")
			if err == nil {
				found <- ends(t, s)
				return
			}
			if !errors.Is(err, registry.ErrLeaseHeld) {
				t.Error(err)
				found <- nil
				return
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-t.Context().Done():
				return
			}
		}
	}()
	stopping.Store(true)
	stop()
	then, now := <-found, ends(t, s)
	checkpoints := 0
	for p, end := range now {
		if end != then[p] {
			t.Errorf("partition %d: its log ended at %d when the lease was taken, and ends at %d", p, then[p], end)
		}
		if end != before[p] {
			checkpoints++
		}
	}
	if checkpoints == 0 || checkpoints < len(now) {
		t.Errorf("%d of %d partitions have a last checkpoint", checkpoints, len(now))
	}
}

// ends are the last sequences of the partitions' streams.
func ends(t *testing.T, s *stack.Stack) map[int]uint64 {
	t.Helper()
	out := map[int]uint64{}
	for p := 0; ; p++ {
		st, err := s.JS.Stream(context.WithoutCancel(t.Context()), s.Source.ShapeStream(p))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return out
		}
		if err != nil {
			t.Error(err)
			return out
		}
		out[p] = st.CachedInfo().State.LastSeq
	}
}
