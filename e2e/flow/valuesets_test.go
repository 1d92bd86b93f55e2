package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

const activeTasks = "project_id IN (SELECT id FROM projects WHERE active)"

// gate holds a service at a named point while it is shut.
type gate struct {
	point failpoint.Point
	mu    sync.Mutex
	shut  chan struct{} // nil while it is open; closed when it opens
	held  chan struct{} // closed when somebody is held
}

func newGate(point failpoint.Point) *gate { return &gate{point: point} }

// pass is a failpoint.
func (g *gate) pass(p failpoint.Point) {
	if p != g.point {
		return
	}
	g.mu.Lock()
	shut, held := g.shut, g.held
	if shut != nil {
		select {
		case <-held:
		default:
			close(held)
		}
	}
	g.mu.Unlock()
	if shut != nil {
		<-shut
	}
}

// close shuts the gate. held is closed when somebody stands before it.
func (g *gate) close() (held <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.held = make(chan struct{}), make(chan struct{})
	return g.held
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// await waits for a signal.
func await(t *testing.T, what string, signal <-chan struct{}) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(stack.Timeout):
		t.Fatalf("waited %s for %s", stack.Timeout, what)
	}
}

// baseOf is the offset of the newest base of the set of an outer shape's first subquery.
func baseOf(t *testing.T, s *stack.Stack, outer *client.Shape) (at change.Offset, inner control.Shape) {
	t.Helper()
	in, err := s.Client.Open(t.Context(), outer.Info().Subqueries[0])
	if err != nil {
		t.Fatal(err)
	}
	inner = in.Info()
	st, err := s.JS.Stream(t.Context(), s.Source.VerdictStream(inner.Partition))
	if err != nil {
		t.Fatal(err)
	}
	m, err := st.GetLastMsgForSubject(t.Context(), s.Source.BaseSubject(inner.Partition, inner.Handle+"_0"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.DecodeBase(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	return b.Offset(), inner
}

// A consumer that restarts while a unit waits finds a base of the set that is
// ahead of the shape. What the base knows and the shape does not must not get lost.
func TestARevocationSurvivesARestartDuringItsUnit(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.Materializer.BaseLeast = 1_000
	s.StartIngest()
	stopConsumer := s.StartConsumer()
	s.StartMaterializer()
	outer := s.Create(client.Definition{Table: "tasks", Where: activeTasks})
	s.Verify(outer)
	lock := s.Connect()
	if _, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	s.Exec("UPDATE projects SET active = false WHERE id = 2") // revoked; the unit waits for the lock
	s.Exec("UPDATE projects SET active = true WHERE id = 3")
	for i := range 2000 { // more verdicts than are read in the time that a base takes
		s.Exec(fmt.Sprintf("UPDATE projects SET active = NOT active WHERE id = %d", 5+i%6))
	}
	s.Until("a base is the last that is known of the set", func() (bool, error) {
		at, inner := baseOf(t, s, outer)
		if at == inner.Offset {
			return true, nil
		}
		s.Exec("UPDATE projects SET active = NOT active WHERE id = 10")
		return false, nil
	}, func() string { return "there is none" })
	stopConsumer()
	s.StartConsumer()
	if _, err := lock.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s.Verify(outer)
	s.Exec("INSERT INTO tasks VALUES (7001, 2, false, 'of a revoked project'), (7003, 3, false, 'of an active one')")
	s.Verify(outer)
}

// The only outer shape on a set goes, the inner table changes, and an outer shape
// on the set comes again before the materializer has caught up.
func TestASetThatIsWantedAgainIsNotStale(t *testing.T) {
	for _, asked := range []bool{true, false} {
		t.Run(map[bool]string{true: "an app asked for the inner shape, too", false: "nobody asked for the inner shape"}[asked], func(t *testing.T) {
			s := stack.New(t, projectSchema)
			s.Consumer.InnerGrace = time.Minute
			verdicts := newGate(failpoint.BeforeVerdict)
			s.Materializer.Failpoint = verdicts.pass
			t.Cleanup(verdicts.open)
			s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			if asked {
				s.Create(client.Definition{Table: "projects", Columns: []string{"id"}, Where: "active"})
			}
			first := s.Create(client.Definition{Table: "tasks", Where: activeTasks})
			s.Verify(first)
			if err := first.Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Until("the first shape is gone", func() (bool, error) {
				_, err := first.Refresh(t.Context())
				return errors.Is(err, client.ErrNotFound), nil
			}, func() string { return "it is there" })
			verdicts.close()
			s.Exec("UPDATE projects SET active = NOT active WHERE id <= 6") // revokes and lets in
			awaitFloor(t, s)
			second := createUnderway(t, s, client.Definition{Table: "tasks", Where: activeTasks})
			s.Exec("INSERT INTO tasks VALUES (7001, 2, false, 'of a revoked project'), (7002, 1, false, 'of an active one')")
			verdicts.open()
			s.Await(second, "live", func(i control.Shape) bool { return i.State == control.StateLive })
			s.Verify(second)
		})
	}
}

// createUnderway asks for a shape, and gives it some time to go live wrongly.
func createUnderway(t *testing.T, s *stack.Stack, def client.Definition) *client.Shape {
	t.Helper()
	sh, err := s.Client.Create(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		if info, err := sh.Refresh(t.Context()); err != nil || info.State == control.StateLive {
			break
		}
	}
	return sh
}

// awaitFloor waits until all shapes have passed what is committed, and what they
// passed is forgotten.
func awaitFloor(t *testing.T, s *stack.Stack) {
	t.Helper()
	lsn, err := pg.EmitBarrier(t.Context(), s.DB, topology.BarrierPrefix, "trim")
	if err != nil {
		t.Fatal(err)
	}
	var c wire.Checkpoint
	s.Until("the floor has passed "+lsn.String(), func() (bool, error) {
		st, err := s.JS.Stream(t.Context(), s.Source.ShapeStream(0))
		if err != nil {
			return false, err
		}
		m, err := st.GetLastMsgForSubject(t.Context(), s.Source.CheckpointSubject(0))
		if err != nil {
			return false, err
		}
		c, err = wire.DecodeCheckpoint(m.Data)
		s.Exec("UPDATE tasks SET project_id = project_id WHERE id = 99")
		return change.LSN(c.FloorLSN) > lsn, err
	}, func() string { return change.LSN(c.FloorLSN).String() })
}

// A second subquery selects another column of an inner shape that has been
// followed for long: the first verdicts on its set are far behind the main loop.
func TestASecondSetOfAKnownInnerShapeIsNotStale(t *testing.T) {
	s := stack.New(t, `
		CREATE TABLE members (project_id int, user_id int, PRIMARY KEY (project_id, user_id));
		CREATE TABLE tasks (id int PRIMARY KEY, project_id int);
		CREATE TABLE users (id int PRIMARY KEY, name text);
		INSERT INTO members SELECT i, i FROM generate_series(1, 10) i;
		INSERT INTO tasks SELECT i, i % 12 FROM generate_series(1, 100) i;
		INSERT INTO users SELECT i, 'user ' || i FROM generate_series(1, 100) i`)
	verdicts := newGate(failpoint.BeforeVerdict)
	s.Materializer.Failpoint = verdicts.pass
	t.Cleanup(verdicts.open)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	first := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT project_id FROM members)"})
	s.Verify(first)
	s.Exec("DELETE FROM members WHERE user_id IN (1, 2, 3)")
	s.Exec("INSERT INTO members SELECT 1, u FROM generate_series(51, 60) u")
	s.Verify(first)
	awaitFloor(t, s)
	held := verdicts.close()
	second := createUnderway(t, s, client.Definition{Table: "users", Where: "id IN (SELECT user_id FROM members)"})
	if a, b := first.Info().Subqueries[0], second.Info().Subqueries[0]; a != b {
		t.Fatalf("two inner shapes: %s, %s", a, b)
	}
	await(t, "the second set's first verdict", held)
	s.Exec("UPDATE users SET name = 'written after the revocation' WHERE id = 1; UPDATE users SET name = 'let in' WHERE id = 52")
	verdicts.open()
	s.Await(second, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	s.Verify(first, second)
	s.Exec("INSERT INTO users VALUES (1001, 'new'); DELETE FROM members WHERE user_id = 4; INSERT INTO members VALUES (7, 1001)")
	s.Verify(first, second)
}

// What an inner shape deferred is written after a restart, with another unit; the verdict on it
// comes later than that on the first.
func TestAVerdictOnWhatWasDeferredIsWaitedFor(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"synchronous_standby_names": "nobody", "synchronous_commit": "local"})
	if err := server.CreateDatabase(t.Context(), "deferred"); err != nil {
		t.Fatal(err)
	}
	s := stack.On(t, server.URL("deferred"), projectSchema+`;
		CREATE TABLE comments (id int PRIMARY KEY, task_id int, text text);
		INSERT INTO comments SELECT i, i % 210, 'comment ' || i FROM generate_series(1, 500) i`)
	marked, verdicts := newGate(failpoint.UnitMarked), newGate(failpoint.BeforeVerdict)
	s.Consumer.Failpoint, s.Materializer.Failpoint = marked.pass, verdicts.pass
	t.Cleanup(marked.open)
	t.Cleanup(verdicts.open)
	stopIngest := s.StartIngest()
	stopConsumer := s.StartConsumer()
	s.StartMaterializer()
	nested := s.Create(client.Definition{Table: "comments", Where: "task_id IN (SELECT id FROM tasks WHERE " + activeTasks + ")"})
	s.Verify(nested)
	inner, err := s.Client.Open(t.Context(), nested.Info().Subqueries[0])
	if err != nil {
		t.Fatal(err)
	}
	stopIngest()
	s.Exec("UPDATE projects SET active = true WHERE id = 3") // opens a unit
	hung := s.Connect()
	done := make(chan error, 1)
	go func() { // not visible to the unit's snapshot: task 5 comes to an active project
		_, err := hung.PgConn().Exec(context.WithoutCancel(t.Context()), "SET synchronous_commit = on; UPDATE tasks SET project_id = 2 WHERE id = 5").ReadAll()
		done <- err
	}()
	s.Until("the commit hangs", func() (bool, error) {
		var event string
		err := s.DB.QueryRow(t.Context(), "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $1", hung.PgConn().PID()).Scan(&event)
		return event == "SyncRep", err
	}, func() string { return "it does not" })
	held := marked.close()
	s.StartIngest()
	await(t, "the unit's marker", held)
	unit := s.Await(inner, "past its unit", func(i control.Shape) bool { return i.Offset.LSN > 0 })
	s.Until("the verdict on the unit's marker is stored", func() (bool, error) {
		st, err := s.JS.Stream(t.Context(), s.Source.VerdictStream(unit.Partition))
		if err != nil {
			return false, err
		}
		m, err := st.GetLastMsgForSubject(t.Context(), s.Source.VerdictSubject(unit.Partition, unit.Handle+"_0"))
		if err != nil {
			return false, err
		}
		v, err := wire.DecodeVerdict(m.Data)
		if err != nil {
			return false, err
		}
		info, err := inner.Refresh(t.Context())
		return err == nil && v.Offset == info.Offset && v.Unit, err
	}, func() string { return "it is not" })
	heldVerdict := verdicts.close()
	stopped := make(chan struct{})
	go func() { defer close(stopped); stopConsumer() }()
	marked.open()
	await(t, "the consumer's end", stopped)
	s.StartConsumer()
	s.Exec("SELECT pg_cancel_backend($1)", hung.PgConn().PID()) // a chain takes it in with a unit that sees it
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	await(t, "the verdict on what was deferred", heldVerdict)
	createUnderway(t, s, client.Definition{Table: "tasks"}) // the main loop goes on
	verdicts.open()
	s.Verify(nested)
	s.Exec("UPDATE comments SET text = 'again' WHERE task_id = 5")
	s.Verify(nested)
	s.Exec("UPDATE projects SET active = NOT active WHERE id = 7")
	s.Verify(nested)
}

// After restarts on an idle database there is nothing to read; what the
// checkpoint says of an inner shape is enough to begin on.
func TestAnOuterShapeIsMadeOnAnIdleDatabase(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.StartIngest()
	stop := s.StartConsumer()
	s.StartMaterializer()
	shapes := []*client.Shape{s.Create(client.Definition{Table: "tasks", Where: activeTasks})}
	s.Verify(shapes...)
	for i := range 3 {
		stop()
		stop = s.StartConsumer()
		shapes = append(shapes, s.Create(client.Definition{Table: "tasks", Where: fmt.Sprintf("id > %d AND %s", i, activeTasks)}))
	}
	s.Exec("UPDATE projects SET active = NOT active WHERE id <= 3")
	s.Verify(shapes...)
}

// The first shape with a subquery of a new source opens its snapshot before
// anything of the change log has been read. What then comes is all there is for long.
func TestTheFirstOuterShapeOfASourceIsMade(t *testing.T) {
	s := stack.New(t, projectSchema)
	snapshot := newGate(failpoint.SnapshotOpen)
	s.Consumer.Failpoint = snapshot.pass
	t.Cleanup(snapshot.open)
	held := snapshot.close()
	stop := s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	stop()
	outer, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: activeTasks})
	if err != nil {
		t.Fatal(err)
	}
	await(t, "its snapshot", held)
	snapshot.open()
	s.StartIngest()
	s.Await(outer, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	s.Verify(outer)
}
