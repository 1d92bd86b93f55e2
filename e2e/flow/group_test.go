package flow

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// TestAGroupHoldsASubqueryAtEveryLook: a shape whose subquery selects from the table of another one
// comes in units, and at every look it has the tasks of those projects that the other one has.
func TestAGroupHoldsASubqueryAtEveryLook(t *testing.T) {
	s := stack.Start(t, `
CREATE TABLE projects (id int PRIMARY KEY, active bool NOT NULL);
CREATE TABLE tasks (id int PRIMARY KEY, project_id int NOT NULL, title text);
INSERT INTO projects SELECT i, i % 2 = 0 FROM generate_series(1, 10) i;
INSERT INTO tasks SELECT i, 1 + i % 10, 'task' FROM generate_series(1, 100) i;`)
	const active, tasks = 0, 1
	g, err := s.Client.WatchGroup(t.Context(), client.Options{},
		client.Definition{Table: "projects", Where: "active"},
		client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	looks := 0
	look := func(l client.Look) error {
		looks++
		of := map[string]int{}
		for _, row := range l.Rows(tasks) {
			id, _ := row.Text("project_id")
			if _, err := l.Get(active, id); err != nil {
				return fmt.Errorf("at %s a task is of project %s: %w", l.LSN, id, err)
			}
			of[id]++
		}
		if l.Len(tasks) != 10*l.Len(active) {
			return fmt.Errorf("at %s there are %d tasks of %d projects: %v", l.LSN, l.Len(tasks), l.Len(active), of)
		}
		return nil
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			changed := g.Changed()
			if err := g.Look(look); err != nil {
				done <- err
				return
			}
			select {
			case <-changed:
			case <-g.Done():
				done <- g.Err()
				return
			case <-stop:
				done <- g.Look(look)
				return
			}
		}
	}()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 300 { // every project always has ten tasks
		switch rng.IntN(3) {
		case 0:
			s.Exec(fmt.Sprintf("UPDATE projects SET active = NOT active WHERE id = %d", 1+rng.IntN(10)))
		case 1:
			a := 1 + rng.IntN(10)
			b := 1 + (a+rng.IntN(9))%10
			s.Exec(fmt.Sprintf("UPDATE tasks SET project_id = CASE project_id WHEN %d THEN %d ELSE %d END WHERE project_id IN (%d, %d)", a, b, a, a, b))
		default:
			s.Exec(fmt.Sprintf("UPDATE tasks SET title = title || '.' WHERE id = %d", 1+rng.IntN(100)))
		}
	}
	var want int
	if err := s.DB.QueryRow(t.Context(), "SELECT count(*) FROM tasks JOIN projects ON projects.id = project_id WHERE active").Scan(&want); err != nil {
		t.Fatal(err)
	}
	var lsn string
	if err := s.DB.QueryRow(t.Context(), "SELECT pg_current_wal_insert_lsn()").Scan(&lsn); err != nil {
		t.Fatal(err)
	}
	s.Exec("INSERT INTO projects VALUES (100, false)") // the change log goes past lsn
	at, err := client.ParseLSN(lsn)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	close(stop)
	if err := <-done; err != nil && !errors.Is(err, client.ErrClosed) {
		t.Fatal(err)
	}
	if err := g.Look(func(l client.Look) error {
		if l.Len(tasks) != want {
			return fmt.Errorf("%d tasks, want %d", l.Len(tasks), want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	t.Logf("%d looks", looks)
}
