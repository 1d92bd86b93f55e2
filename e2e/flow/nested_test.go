package flow

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

const nestedSchema = projectSchema + `;
	CREATE TABLE comments (id int PRIMARY KEY, task_id int, text text);
	INSERT INTO comments SELECT i, i % 210, 'comment ' || i FROM generate_series(1, 500) i;
	CREATE TABLE likes (id int PRIMARY KEY, comment_id int);
	INSERT INTO likes SELECT i, i % 500 FROM generate_series(1, 600) i;
	CREATE TABLE teams (id int PRIMARY KEY, open bool);
	CREATE TABLE people (id int PRIMARY KEY, team int);
	INSERT INTO teams SELECT i, true FROM generate_series(1, 5) i;
	INSERT INTO people SELECT i, i % 6 FROM generate_series(1, 50) i`

const (
	ofProjects = "project_id IN (SELECT id FROM projects WHERE active)"
	ofTasks    = "task_id IN (SELECT id FROM tasks WHERE " + ofProjects + ")"
	ofComments = "comment_id IN (SELECT id FROM comments WHERE " + ofTasks + ")"
)

// toggling changes the innermost table of nestedSchema all the time, until stop.
func toggling(s *stack.Stack, every time.Duration) (stop func()) {
	conn := s.Connect()
	ctx, cancel := context.WithCancel(context.Background())
	var w sync.WaitGroup
	w.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := conn.Exec(context.WithoutCancel(ctx), "UPDATE projects SET active = NOT active WHERE id = $1", 1+i%10); err != nil {
				s.TB.Error(err)
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		w.Wait()
	})
	s.TB.Cleanup(stop)
	return stop
}

// TestManyNestedShapesAtOnce: more shapes hold a snapshot, and wait for their
// inner shape's unit, than may hold one; the inner shape gets its own all the
// same, and so does a shape that has nothing to do with them.
func TestManyNestedShapesAtOnce(t *testing.T) {
	s := stack.Start(t, nestedSchema)
	unrelated := s.Create(client.Definition{Table: "people", Where: "team IN (SELECT id FROM teams WHERE open)"})
	inner := s.Create(client.Definition{Table: "tasks", Columns: []string{"id"}, Where: ofProjects})
	s.Verify(unrelated, inner)
	stop := toggling(s, 5*time.Millisecond)
	shapes := make([]*client.Shape, 30)
	var w sync.WaitGroup
	for i := range shapes {
		w.Go(func() {
			def := client.Definition{Table: "comments", Where: fmt.Sprintf("id > %d AND %s", i, ofTasks)}
			if i%3 == 0 {
				def = client.Definition{Table: "likes", Where: fmt.Sprintf("id > %d AND %s", i, ofComments)}
			}
			sh, err := s.Client.Create(t.Context(), def)
			if err != nil {
				t.Error(err)
				return
			}
			shapes[i] = sh
		})
	}
	w.Wait()
	if t.Failed() {
		return
	}
	for team := 1; team <= 5; team++ {
		s.Exec("UPDATE teams SET open = false WHERE id = $1", team)
		s.Settle(unrelated)
	}
	s.Verify(unrelated)
	stop()
	for _, sh := range shapes {
		s.Await(sh, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	}
	s.Verify(shapes...)
}

// TestADeletedShapeLetsGoOfItsSnapshot, whatever it is waiting for.
func TestADeletedShapeLetsGoOfItsSnapshot(t *testing.T) {
	s := stack.New(t, nestedSchema)
	stopIngest := s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	later := s.Create(client.Definition{Table: "tasks", Where: ofProjects})
	s.Verify(later)
	s.Create(client.Definition{Table: "comments", Where: ofTasks + " AND id < 0"}) // for its inner shape
	open := func(want int) {
		t.Helper()
		var n int
		s.Until(fmt.Sprintf("%d snapshots are open", want), func() (bool, error) {
			err := s.DB.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'
				AND application_name LIKE 'shapebus/consumer%' AND datname = current_database()`).Scan(&n)
			return n == want, err
		}, func() string { return fmt.Sprint(n, " are") })
	}
	stopIngest() // so that no barrier comes
	var shapes []*client.Shape
	for i := range 3 {
		sh, err := s.Client.Create(t.Context(), client.Definition{Table: "comments", Where: fmt.Sprintf("id > %d AND %s", i, ofTasks)})
		if err != nil {
			t.Fatal(err)
		}
		shapes = append(shapes, sh)
	}
	open(len(shapes))
	for i, sh := range shapes {
		if err := sh.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		open(len(shapes) - i - 1)
	}
	s.StartIngest()
	s.Exec("UPDATE projects SET active = NOT active")
	s.Verify(later)
}
