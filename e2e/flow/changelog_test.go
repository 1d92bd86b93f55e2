package flow

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// changeLog is what the stream of the change log says of itself.
func changeLog(s *stack.Stack) (info jetstream.StreamInfo) {
	s.TB.Helper()
	s.Until("the change log is there", func() (bool, error) {
		st, err := s.JS.Stream(s.TB.Context(), s.Source.ChangeStream())
		if err != nil {
			return false, err
		}
		info = *st.CachedInfo()
		return true, nil
	}, func() string { return "it is not" })
	return info
}

// awaitTrim writes until the change log is trimmed.
func awaitTrim(s *stack.Stack, sql string) {
	s.TB.Helper()
	first := changeLog(s).State.FirstSeq
	s.Until("the change log is trimmed", func() (bool, error) {
		s.Exec(sql)
		return changeLog(s).State.FirstSeq > first+50, nil
	}, func() string { return fmt.Sprintf("%+v", changeLog(s).State) })
}

// TestShapesGoOnWithAnotherStreamOfTheChangeLog deletes the change log's stream
// while everything runs. The slot still has all that was in it, or the shapes do.
func TestShapesGoOnWithAnotherStreamOfTheChangeLog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		confirm       time.Duration // until the slot has passed what is stored
		before, after int           // transactions
	}{
		{"and the old one had come further", time.Hour, 900, 20},
		{"and the new one comes further", time.Hour, 20, 900},
		{"and the slot has passed what the old one had", 10 * time.Millisecond, 100, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stack.New(t, projectSchema)
			s.Ingest.SyncInterval = tt.confirm
			s.Ingest.FragmentOps = 1
			s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			shapes := []*client.Shape{
				s.Create(client.Definition{Table: "tasks"}),
				s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
			}
			s.Exec(fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP INSERT INTO tasks VALUES (10000 + i, i %% 10); COMMIT; END LOOP; END $$", tt.before))
			s.Exec("UPDATE projects SET active = NOT active WHERE id < 4")
			s.Verify(shapes...)
			old := changeLog(s)
			if err := s.JS.DeleteStream(t.Context(), s.Source.ChangeStream()); err != nil {
				t.Fatal(err)
			}
			s.Exec(fmt.Sprintf("DO $$ BEGIN FOR i IN 1..%d LOOP INSERT INTO tasks VALUES (20000 + i, i %% 10); COMMIT; END LOOP; END $$", tt.after))
			s.Exec("UPDATE projects SET active = NOT active WHERE id < 6")
			s.Verify(shapes...)
			if now := changeLog(s); now.Created.Equal(old.Created) {
				t.Error("it is the same stream")
			}
		})
	}
}

// TestShapesEndWhenAnotherStreamOfTheChangeLogLacksChanges deletes the change
// log's stream with changes that the slot has passed and a consumer has not read.
func TestShapesEndWhenAnotherStreamOfTheChangeLogLacksChanges(t *testing.T) {
	s := stack.New(t, tasks)
	s.StartIngest()
	stop := s.StartConsumer()
	sh := s.Create(client.Definition{Table: "tasks"})
	s.Verify(sh)
	stop()
	s.Exec("INSERT INTO tasks VALUES (5001)")
	var written string
	if err := s.DB.QueryRow(t.Context(), "SELECT pg_current_wal_lsn()::text").Scan(&written); err != nil {
		t.Fatal(err)
	}
	s.Until("the slot has passed it", func() (ok bool, err error) {
		err = s.DB.QueryRow(t.Context(), "SELECT confirmed_flush_lsn >= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", written, s.Source.Slot()).Scan(&ok)
		return ok, err
	}, func() string { return "it has not" })
	if err := s.JS.DeleteStream(t.Context(), s.Source.ChangeStream()); err != nil {
		t.Fatal(err)
	}
	s.Exec("INSERT INTO tasks VALUES (5002)")
	changeLog(s) // ingest makes it again
	s.StartConsumer()
	info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
	if !strings.Contains(info.Reason, "discarded") {
		t.Errorf("reason %q", info.Reason)
	}
	s.Verify(s.Create(client.Definition{Table: "tasks"}))
}

// TestAGroupThatHasNotBegunNeedsNothingOfTheChangeLog: a shape that waits to be
// created neither keeps the change log nor costs other shapes their life at a restart.
func TestAGroupThatHasNotBegunNeedsNothingOfTheChangeLog(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.Ingest.FragmentOps = 1
	s.StartIngest()
	stopConsumer := s.StartConsumer()
	stopMaterializer := s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "tasks"}),
	}
	awaitTrim(s, "UPDATE tasks SET title = title || 'x' WHERE id < 9")
	stopMaterializer() // so that the next shape waits for its base
	waits, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE owner = 1)"})
	if err != nil {
		t.Fatal(err)
	}
	s.Await(waits, "waiting for the materializer", func(i control.Shape) bool { return strings.Contains(i.Reason, "waiting for the values") })
	awaitTrim(s, "UPDATE tasks SET title = title || 'y' WHERE id < 9")
	stopConsumer()
	s.StartConsumer()
	s.StartMaterializer()
	s.Verify(append(shapes, waits)...)
}

// TestACopyThatTakesLongEndsNobodyElse: the change log discards what a shape
// that is being created has yet to read. That shape ends, others had read it.
func TestACopyThatTakesLongEndsNobodyElse(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.Ingest.ChangeLog.MaxBytes = 1 << 20
	s.Ingest.FragmentBytes = 16 << 10
	s.StartIngest()
	reached, release := make(chan struct{}), make(chan struct{})
	var hold atomic.Bool
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p == failpoint.AfterSnapshotEntry && hold.CompareAndSwap(true, false) {
			close(reached)
			<-release
		}
	}
	stop := s.StartConsumer()
	s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: "id < 1000"}),
		s.Create(client.Definition{Table: "tasks", Where: "id < 1000 AND project_id IN (SELECT id FROM projects WHERE active)"}),
	}
	hold.Store(true)
	slow, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "id < 500"})
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	first := changeLog(s).State.FirstSeq
	for i := 0; changeLog(s).State.FirstSeq < max(first, 700); i++ {
		s.Exec("INSERT INTO tasks SELECT $1 + i, 1, false, repeat('x', 200) FROM generate_series(1, 1000) i", 10_000+i*1000)
		s.Settle(shapes...)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }() // it waits for the failpoint
	close(release)
	<-stopped
	s.StartConsumer()
	s.Exec("UPDATE projects SET active = NOT active WHERE id < 5; UPDATE tasks SET title = 'last' WHERE id < 9")
	s.Verify(shapes...)
	info := s.Await(slow, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
	if !strings.Contains(info.Reason, "discarded") {
		t.Errorf("reason %q", info.Reason)
	}
}
