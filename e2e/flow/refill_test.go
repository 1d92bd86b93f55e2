package flow

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// atSnapshots runs SQL when the consumer has opened a snapshot and not yet read
// a row. next says which; "" is none. rest returns when none of it runs.
func atSnapshots(s *stack.Stack, next func() string) (rest func()) {
	conn := s.Connect()
	var mu sync.Mutex
	s.Consumer.Failpoint = func(p failpoint.Point) {
		if p != failpoint.SnapshotOpen {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if sql := next(); sql != "" {
			if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
				s.TB.Errorf("%s: %v", sql, err)
			}
		}
	}
	return func() {
		mu.Lock()
		defer mu.Unlock()
	}
}

// refill empties a table in a transaction that fills it again.
func refill(table, columns string) string {
	return "BEGIN; CREATE TEMP TABLE k ON COMMIT DROP AS SELECT * FROM " + table + "; TRUNCATE " + table +
		"; INSERT INTO " + table + " SELECT " + columns + " FROM k; COMMIT"
}

// once gives each of some statements out once, when it is armed.
type once struct {
	mu  sync.Mutex
	sql []string
}

func (o *once) arm(sql ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sql = sql
}

func (o *once) next() (sql string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.sql) > 0 {
		sql, o.sql = o.sql[0], o.sql[1:]
	}
	return sql
}

func (o *once) done() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sql) == 0
}

// TestTablesRefilledUnderASnapshot: TRUNCATE is not MVCC-safe, so a snapshot
// that is older finds nothing, in the outer table and in the inner one.
func TestTablesRefilledUnderASnapshot(t *testing.T) {
	const where = "project_id IN (SELECT id FROM projects WHERE active)"
	for _, table := range []struct{ name, columns string }{{"projects", "*"}, {"projects", "id, NOT active, owner"}, {"tasks", "*"}} {
		t.Run(table.name+" with "+table.columns, func(t *testing.T) {
			var o once
			s := stack.New(t, projectSchema)
			rest := atSnapshots(s, o.next)
			s.StartIngest()
			s.StartConsumer()
			s.StartMaterializer()
			s.Verify(s.Create(client.Definition{Table: "projects", Columns: []string{"id"}, Where: "active"}))

			o.arm(refill(table.name, table.columns))
			outer := s.Create(client.Definition{Table: "tasks", Where: where})
			if !o.done() {
				t.Fatal("no snapshot was opened")
			}
			s.Verify(outer)
			s.Exec("UPDATE tasks SET title = 'later' WHERE project_id = 2; DELETE FROM tasks WHERE project_id = 4")
			s.Verify(outer)

			o.arm(refill(table.name, table.columns)) // and under the snapshot of a unit
			s.Exec("UPDATE projects SET active = NOT active")
			s.Until("a unit is opened", func() (bool, error) { return o.done(), nil }, func() string { return "none is" })
			rest() // Verify settles what was committed before it
			s.Verify(outer)
			s.Verify(s.Create(client.Definition{Table: "tasks", Where: "NOT done AND " + where}))
		})
	}
}

// TestTablesChangeAtRandomUnderSnapshots makes shapes of every kind and
// toggles their sets, while tables are truncated, refilled and packed under
// half of the snapshots that this takes.
func TestTablesChangeAtRandomUnderSnapshots(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := stack.New(t, projectSchema+`;
		CREATE TABLE comments (id int, task_id int, text text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE comments_1 PARTITION OF comments FOR VALUES FROM (0) TO (200);
		CREATE TABLE comments_2 PARTITION OF comments FOR VALUES FROM (200) TO (1000);
		INSERT INTO comments SELECT i, i % 210, 'comment ' || i FROM generate_series(1, 400) i`)
	steps := []string{
		refill("projects", "*"), refill("projects", "id, NOT active, owner"), refill("tasks", "*"), refill("tasks", "id, project_id + 1, done, title"),
		refill("comments", "*"), refill("comments", "id, task_id + 1, text"),
		"VACUUM FULL projects", "VACUUM FULL tasks", "CLUSTER tasks USING tasks_pkey",
		"UPDATE projects SET active = NOT active WHERE id % 3 = 0", "UPDATE tasks SET project_id = project_id % 10 + 1", "TRUNCATE comments",
	}
	left, ran := 0, 0 // of the round's steps; under atSnapshots' lock and while nothing runs
	var mu sync.Mutex
	atSnapshots(s, func() string {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 || r.IntN(2) == 0 {
			return ""
		}
		left--
		ran++
		return steps[r.IntN(len(steps))]
	})
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	defs := []client.Definition{
		{Table: "tasks"},
		{Table: "comments", Where: "id > 100"},
		{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"},
		{Table: "tasks", Where: "NOT done AND project_id NOT IN (SELECT id FROM projects WHERE owner = 1)"},
		{Table: "projects", Where: "id IN (SELECT project_id FROM tasks WHERE done)"},
		{Table: "comments", Where: "task_id IN (SELECT id FROM tasks WHERE done)"},
		{Table: "comments", Where: "task_id IN (SELECT id FROM tasks WHERE project_id IN (SELECT id FROM projects WHERE active))"},
		{Table: "tasks", Where: "id IN (SELECT task_id FROM comments WHERE id < 150)"},
	}
	live := map[int]*client.Shape{}
	for range 6 {
		mu.Lock()
		left = 5
		mu.Unlock()
		for _, i := range r.Perm(len(defs))[:4] {
			if sh := live[i]; sh != nil {
				if err := sh.Delete(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			delete(live, i)
		}
		for i, def := range defs {
			if live[i] != nil {
				continue
			}
			s.Until("the shape is there", func() (_ bool, err error) {
				live[i], err = s.Client.Create(t.Context(), def)
				return err == nil, err // it may still be on its way out
			}, func() string { return "it is not" })
		}
		s.Exec("UPDATE projects SET active = NOT active WHERE id % 2 = 0; UPDATE tasks SET done = NOT done WHERE id % 3 = 0")
		for _, sh := range live {
			s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
		}
		mu.Lock()
		left = 0
		mu.Unlock()
		for _, sh := range live {
			s.Verify(sh)
		}
	}
	if ran < 10 {
		t.Errorf("only %d steps ran under a snapshot", ran)
	}
}
