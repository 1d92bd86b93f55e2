package flow

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// TestCreationResumedBehindTheCheckpoint stops the consumer while a shape is
// being created, after the other shapes went on for long. The successor reads
// the change log again from where that shape began; it must not let the shape
// join as if it had come as far as the checkpoint already.
func TestCreationResumedBehindTheCheckpoint(t *testing.T) {
	t.Parallel()
	s := stack.New(t, tasks)
	s.StartIngest()
	var hold, slow atomic.Bool
	reached, release := make(chan struct{}), make(chan struct{})
	s.Consumer.Failpoint = func(p failpoint.Point) {
		switch {
		case p == failpoint.AfterSnapshotEntry && hold.CompareAndSwap(true, false):
			close(reached)
			<-release
		case p == failpoint.AfterFragment && slow.Load():
			time.Sleep(time.Millisecond) // so that the shape finds the main loop behind the checkpoint
		}
	}
	stop := s.StartConsumer()
	first := s.Create(client.Definition{Table: "tasks"})
	hold.Store(true)
	second, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "id < 100000"})
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	for i := range 1500 {
		s.Exec(fmt.Sprintf("UPDATE tasks SET title = 't%d' WHERE id = %d; INSERT INTO tasks VALUES (%d)", i, 1+i%100, 1000+i))
	}
	s.Verify(first)
	time.AfterFunc(100*time.Millisecond, func() { close(release) }) // stop waits for the failpoint
	stop()
	slow.Store(true)
	s.StartConsumer()
	s.Await(second, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	s.Exec("UPDATE tasks SET title = 'last' WHERE id = 1")
	s.Verify(first, second)
}

// TestCheckpointsNeverRunAheadOfTheirPartition makes one partition stand
// behind the others, as after a loss of power or when its stream refused what
// others took, and stops the successor at its first checkpoint.
func TestCheckpointsNeverRunAheadOfTheirPartition(t *testing.T) {
	s := stack.New(t, tasks)
	s.Consumer.Partitions = 2
	s.Consumer.SyncInterval = time.Hour // what a loss of power can take away is not trimmed
	s.StartIngest()
	stop := s.StartConsumer()
	var shapes []*client.Shape
	for i := range 4 {
		shapes = append(shapes, s.Create(client.Definition{Table: "tasks", Where: fmt.Sprintf("id > %d", i)}))
	}
	behind := shapes[0].Info().Partition
	s.Exec("UPDATE tasks SET title = 'before' WHERE id = 50")
	s.Verify(shapes...)
	stop()
	st, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(behind))
	if err != nil {
		t.Fatal(err)
	}
	was, err := st.GetLastMsgForSubject(t.Context(), s.Source.CheckpointSubject(behind))
	if err != nil {
		t.Fatal(err)
	}
	end := st.CachedInfo().State.LastSeq
	stop = s.StartConsumer()
	for i := range 1000 {
		s.Exec(fmt.Sprintf("INSERT INTO tasks VALUES (%d)", 1000+i))
	}
	s.Verify(shapes...)
	stop()
	info, err := st.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.LastSeq; seq > end; seq-- {
		_ = st.DeleteMsg(t.Context(), seq) // some are gone already: a checkpoint replaces the one before
	}
	_, err = s.JS.PublishMsg(t.Context(), &nats.Msg{Subject: was.Subject, Header: nats.Header{"Nats-Rollup": {"sub"}}, Data: was.Data})
	if err != nil {
		t.Fatal(err)
	}
	old, err := wire.DecodeCheckpoint(was.Data)
	if err != nil {
		t.Fatal(err)
	}

	cfg := s.Consumer
	s.Consumer.Checkpoint = time.Millisecond
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p == failpoint.AfterFragment {
			time.Sleep(time.Millisecond) // so that there is time for a checkpoint too early
		}
	}
	stop = s.StartConsumer()
	s.Until("the partition has a new checkpoint", func() (bool, error) {
		now, _, err := registry.ReadCheckpoint(t.Context(), s.JS, s.Source, behind, "")
		return now.LSN > old.LSN, err
	}, func() string { return "it has not" })
	stop()
	s.Consumer = cfg
	s.StartConsumer()
	s.Verify(shapes...)
}
