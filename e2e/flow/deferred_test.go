package flow

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// A commit that snapshots do not see begins, in the change log, with the change of a table that
// no shape here is about. Shapes whose snapshots do not see it come back to it later, and need
// its beginning.
func TestACommitThatIsNotSeenBeginsWithATableThatChanged(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"synchronous_standby_names": "nobody", "synchronous_commit": "local"})
	for _, c := range []struct {
		name string
		live bool // the shape is there before the commit, and defers it; else it is made behind it
	}{{"deferred", true}, {"made behind it", false}} {
		t.Run(c.name, func(t *testing.T) {
			name := map[bool]string{true: "deferred", false: "behind"}[c.live]
			if err := server.CreateDatabase(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			s := stack.On(t, server.URL(name), projectSchema+`; CREATE TABLE notes (id int PRIMARY KEY, text text)`)
			opened := newGate(failpoint.UnitOpen)
			s.Consumer.Failpoint = opened.pass
			t.Cleanup(opened.open)
			s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			notes := s.Create(client.Definition{Table: "notes"})
			shapes := []*client.Shape{s.Create(client.Definition{Table: "tasks"}), s.Create(client.Definition{Table: "tasks", Where: activeTasks})}
			s.Exec("INSERT INTO notes VALUES (0, 'ingest knows the table')")
			s.Verify(append(shapes, notes)...)
			if c.live {
				held := opened.close()
				s.Exec("UPDATE projects SET active = true WHERE id = 3")
				await(t, "a unit with its snapshot", held)
			}
			hung := s.Connect()
			done := make(chan error, 1)
			go func() {
				_, err := hung.PgConn().Exec(context.WithoutCancel(t.Context()), `SET synchronous_commit = on;
					BEGIN; ALTER TABLE notes ADD COLUMN extra int; INSERT INTO notes VALUES (1, 'a', 1);
					INSERT INTO tasks VALUES (7001, 2, false, 'of an active project'); COMMIT`).ReadAll()
				done <- err
			}()
			s.Until("the commit hangs", func() (bool, error) {
				var event string
				err := s.DB.QueryRow(t.Context(), "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $1", hung.PgConn().PID()).Scan(&event)
				return event == "SyncRep", err
			}, func() string { return "it does not" })
			s.Exec("UPDATE tasks SET title = 'later' WHERE id = 1")
			s.Settle(shapes[0]) // the main loop is past the commit
			opened.open()
			if !c.live {
				for _, def := range []client.Definition{{Table: "tasks", Where: "NOT done AND " + activeTasks}, {Table: "tasks", Where: "NOT done"}} {
					shapes = append(shapes, createUnderway(t, s, def))
				}
			}
			s.Exec("UPDATE projects SET active = NOT active WHERE id = 7")
			s.Exec("SELECT pg_cancel_backend($1)", hung.PgConn().PID()) // the commit stands; only the wait ends
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for _, sh := range shapes {
				s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
			}
			s.Verify(shapes...)
			s.Await(notes, "ended, as its table changed", func(i control.Shape) bool { return i.State == control.StateEnded })
		})
	}
}

// A transaction begins, in the change log, with the change of a table that no shape here is about, while
// shapes with subqueries are behind the main loop: what tells of the table is not the transaction's end.
func TestATransactionBehindTheMainLoopBeginsWithATableThatChanged(t *testing.T) {
	s := stack.New(t, projectSchema+`; CREATE TABLE notes (id int PRIMARY KEY, text text)`)
	marked := newGate(failpoint.UnitMarked)
	s.Consumer.Failpoint = marked.pass
	t.Cleanup(marked.open)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	notes := s.Create(client.Definition{Table: "notes"})
	plain, outer := s.Create(client.Definition{Table: "tasks"}), s.Create(client.Definition{Table: "tasks", Where: activeTasks})
	s.Exec("INSERT INTO notes VALUES (0, 'ingest knows the table')")
	s.Verify(notes, plain, outer)
	held := marked.close()
	s.Exec("UPDATE projects SET active = true WHERE id = 3")
	await(t, "the end of a unit", held)
	s.Exec(`BEGIN; ALTER TABLE notes ADD COLUMN extra int; INSERT INTO notes VALUES (1, 'a', 1);
		INSERT INTO tasks VALUES (7001, 2, false, 'of an active project'); COMMIT`)
	s.Settle(plain) // the main loop is past it
	marked.open()
	s.Exec("UPDATE tasks SET title = 'later' WHERE id = 1")
	s.Verify(plain, outer)
}

// After a crash a group knows more than the main loop has read: where it stands, and what it deferred, is in its
// last marker, which is behind the last checkpoint. It waits for the main loop then, as often as it takes. Its inner
// shape is in the group, too, so nothing else makes it wait.
func TestAGroupIsFurtherThanTheMainLoopAfterACrash(t *testing.T) {
	s := stack.New(t, nestedSchema)
	const grace = 500 * time.Millisecond // what a group that does not wait takes to fail
	opened, marked, read := newGate(failpoint.UnitOpen), newGate(failpoint.UnitMarked), newGate(failpoint.AfterFragment)
	var opens, marks atomic.Int64 // since the toggle: both shapes go through one unit, the inner one first
	s.Consumer.Failpoint = func(point failpoint.Point) {
		if point == failpoint.UnitOpen && opens.Add(1) == 1 {
			opened.pass(point)
		}
		if point == failpoint.UnitMarked && marks.Add(1) == 2 {
			marked.pass(point)
		}
		read.pass(point)
	}
	s.Consumer.Checkpoint = time.Hour
	for _, g := range []*gate{opened, marked, read} {
		t.Cleanup(g.open)
	}
	s.StartIngest()
	crash := s.StartConsumerToCrash()
	s.StartMaterializer()
	inner, outer := s.Create(client.Definition{Table: "tasks", Columns: []string{"id"}, Where: ofProjects}), s.Create(client.Definition{Table: "comments", Where: ofTasks})
	further := func(sh *client.Shape, than change.Offset) {
		t.Helper()
		s.Await(sh, "further", func(i control.Shape) bool { return than.Before(i.Offset) })
	}
	live := func(i control.Shape) bool { return i.State == control.StateLive }
	wasInner, wasOuter := s.Await(inner, "live", live).Offset, s.Await(outer, "live", live).Offset
	opens.Store(0)
	marks.Store(0)
	atOpen, atMark := opened.close(), marked.close()
	s.Exec("UPDATE projects SET active = true WHERE id = 3")
	await(t, "the unit with its snapshot", atOpen)
	s.Exec("UPDATE comments SET text = 'after the snapshot'")
	opened.open()
	await(t, "the end of the outer shape's unit", atMark)
	further(outer, wasOuter)
	further(inner, wasInner)
	go marked.open()
	crash()
	s.Consumer.Checkpoint = 0 // the default
	atFirst := read.close()
	again := s.StartConsumerService()
	await(t, "the first of what the main loop reads again", atFirst)
	<-time.After(grace)
	read.open()
	s.Verify(inner, outer)
	if status := again.Status(); status.Retries != 0 {
		t.Errorf("%d attempts failed, the last one with %q", status.Retries, status.LastError)
	}
}

// What a unit defers may change nothing in the log when it comes, and then no marker says that it has come.
func TestWhatWasDeferredAndChangesNothingHasCome(t *testing.T) {
	s := stack.New(t, projectSchema)
	opened := newGate(failpoint.UnitOpen)
	s.Consumer.Failpoint = opened.pass
	t.Cleanup(opened.open)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	outer := s.Create(client.Definition{Table: "tasks", Where: activeTasks})
	s.Verify(outer)
	view := outer.View(client.ViewOptions{})
	t.Cleanup(view.Close)
	held := opened.close()
	s.Exec("UPDATE projects SET active = true WHERE id = 3")
	await(t, "a unit with its snapshot", held)
	s.Exec("INSERT INTO tasks VALUES (9001, 9001, false, 'of no project')")
	opened.open()
	var text string
	if err := s.DB.QueryRow(t.Context(), "SELECT pg_current_wal_insert_lsn()").Scan(&text); err != nil {
		t.Fatal(err)
	}
	lsn, err := change.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	s.Exec("INSERT INTO projects VALUES (9001, false)") // the change log goes past lsn
	ctx, cancel := context.WithTimeout(t.Context(), stack.Timeout)
	defer cancel()
	if err := view.Wait(ctx, lsn); err != nil {
		t.Errorf("the view does not come to %s: %v", lsn, err)
	}
	s.Verify(outer)
}
