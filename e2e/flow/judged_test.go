package flow

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// Two tables' shapes lose rows by one change. The first to open a snapshot does not see a commit that hangs, and it is held up;
// meanwhile the commit becomes visible, and the other one says so. The first snapshot still does not see it.
func TestASnapshotThatIsJudgedAfterALaterOne(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"synchronous_standby_names": "nobody", "synchronous_commit": "local"})
	if err := server.CreateDatabase(t.Context(), "judged"); err != nil {
		t.Fatal(err)
	}
	s := stack.On(t, server.URL("judged"), projectSchema+`;
		CREATE TABLE labels (id int PRIMARY KEY, project_id int);
		INSERT INTO labels SELECT i, i % 50 FROM generate_series(1, 200) i`)
	opened := newGate(failpoint.SnapshotOpen)
	t.Cleanup(opened.open)
	var armed, taken atomic.Bool
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p == failpoint.SnapshotOpen && armed.Load() && taken.CompareAndSwap(false, true) {
			opened.pass(p)
		}
	}
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	shapes := []*client.Shape{s.Create(client.Definition{Table: "tasks", Where: activeTasks}), s.Create(client.Definition{Table: "labels", Where: activeTasks})}
	s.Verify(shapes...)
	hung := s.Connect()
	done := make(chan error, 1)
	go func() {
		_, err := hung.PgConn().Exec(context.WithoutCancel(t.Context()), `SET synchronous_commit = on;
			BEGIN; INSERT INTO tasks VALUES (7001, 2, false, 'of an active project'); INSERT INTO labels VALUES (7001, 2); COMMIT`).ReadAll()
		done <- err
	}()
	s.Until("the commit hangs", func() (bool, error) {
		var event string
		err := s.DB.QueryRow(t.Context(), "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $1", hung.PgConn().PID()).Scan(&event)
		return event == "SyncRep", err
	}, func() string { return "it does not" })
	var before []change.Offset
	for _, sh := range shapes {
		s.Settle(sh) // it has the commit, which nobody sees
		info, err := sh.Refresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, info.Offset)
	}
	held := opened.close()
	armed.Store(true)
	s.Exec("UPDATE projects SET active = false WHERE id = 2")
	await(t, "a snapshot that does not see the commit", held)
	s.Exec("SELECT pg_cancel_backend($1)", hung.PgConn().PID()) // the commit stands; only the wait ends
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.Until("the other shape has its unit", func() (bool, error) {
		for i, sh := range shapes {
			info, err := sh.Refresh(t.Context())
			if err != nil || before[i].Before(info.Offset) {
				return err == nil, err
			}
		}
		return false, nil
	}, func() string { return "neither has one" })
	opened.open()
	s.Verify(shapes...)
}
