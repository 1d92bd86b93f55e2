package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/ownership"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
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

	then, all := map[int]uint64{}, make(chan struct{})
	var mu sync.Mutex
	succeeds, over := context.WithCancel(t.Context())
	left, joined := make(chan error, 1), make(chan struct{})
	go func() {
		left <- ownership.Run(succeeds, ownership.Config{
			NATS: s.NC, JS: s.JS, Source: s.Source, Role: topology.RoleConsumer, Name: "the successor", Partitions: registry.NewPartitions(2), Log: slog.New(slog.DiscardHandler),
		}, func() { close(joined) }, func(ctx context.Context, h ownership.Held) {
			end := ends(t, s)[h.Partition] //nolint:contextcheck // the test's own
			mu.Lock()
			then[h.Partition] = end
			n := len(then)
			mu.Unlock()
			switch n {
			case 1: // the first of the two is handed over when the successor comes
				stopping.Store(true)
				go stop()
			case 2:
				close(taken)
				close(all)
			}
			<-ctx.Done()
		})
	}()
	<-joined
	<-all
	stop()
	now := ends(t, s)
	over()
	if err := <-left; err != nil {
		t.Error(err)
	}
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

// TestAPartitionComesBehindAReset lets a source begin again with a database whose WAL is far below the one before, while another
// process holds partitions. When they come to the consumer that runs, their checkpoints tell of places it will not see for long.
func TestAPartitionComesBehindAReset(t *testing.T) {
	t.Parallel()
	before := startPostgres(t, pgDir(t), 0)
	s := stack.On(t, before.URL("postgres"), tasks)
	s.Consumer.Partitions = 2
	stopIngest, stopConsumer := s.StartIngest(), s.StartConsumer()
	shapes := map[int]*client.Shape{} // one for each partition
	for i := 0; len(shapes) < 2; i++ {
		sh := s.Create(client.Definition{Table: "tasks", Where: fmt.Sprintf("id > %d", i)})
		shapes[s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive }).Partition] = sh
	}
	for range 3 {
		s.Exec("DELETE FROM tasks WHERE id = -1; INSERT INTO tasks VALUES (-1); SELECT pg_switch_wal()")
	}
	s.Exec("INSERT INTO tasks VALUES (1000)")
	s.Settle(shapes[0], shapes[1])
	stopConsumer()
	stopIngest()
	was := walEnd(t, s)
	before.stop()
	startPostgres(t, pgDir(t), before.port)
	s.DB = s.Connect()
	s.Exec(tasks)
	if now := walEnd(t, s); now >= was {
		t.Fatalf("the WAL ends at %s, and that of the server before did at %s", now, was)
	}
	s.Reset("it is another database")
	s.StartIngest()

	holds, leaves := context.WithCancel(t.Context())
	left, held := make(chan error, 1), make(chan struct{}, 2)
	go func() {
		left <- ownership.Run(holds, ownership.Config{
			NATS: s.NC, JS: s.JS, Source: s.Source, Role: topology.RoleConsumer, Name: "another", Partitions: registry.NewPartitions(2), Log: slog.New(slog.DiscardHandler),
		}, func() {}, func(ctx context.Context, _ ownership.Held) {
			held <- struct{}{}
			<-ctx.Done()
		})
	}()
	<-held
	<-held
	m := s.StartMember()
	s.Until("the shape of the partition that it holds has ended", func() (bool, error) {
		for _, sh := range shapes {
			if info, err := sh.Refresh(t.Context()); info.State == control.StateEnded || err != nil {
				return err == nil, err
			}
		}
		return false, nil
	}, func() string { return fmt.Sprintf("it holds %d", m.Owned()) })
	if n := m.Owned(); n != 1 {
		t.Fatalf("it holds %d partitions, want 1", n)
	}
	leaves()
	if err := <-left; err != nil {
		t.Error(err)
	}
	for _, sh := range shapes {
		info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
		if !strings.Contains(info.Reason, "it is another database") {
			t.Errorf("reason %q", info.Reason)
		}
	}
	s.Verify(s.Create(client.Definition{Table: "tasks"}))
}

// walEnd is where Postgres writes next.
func walEnd(t *testing.T, s *stack.Stack) (lsn change.LSN) {
	t.Helper()
	var text string
	err := s.DB.QueryRow(t.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&text)
	if err == nil {
		lsn, err = change.ParseLSN(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}
