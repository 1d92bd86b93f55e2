package flow

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

const projectSchema = `
	CREATE TABLE projects (id int PRIMARY KEY, active bool, owner int);
	CREATE TABLE tasks (id int PRIMARY KEY, project_id int, done bool NOT NULL DEFAULT false, title text);
	INSERT INTO projects SELECT i, i % 2 = 0, i % 3 FROM generate_series(1, 10) i;
	INSERT INTO tasks SELECT i, nullif(i % 12, 0), i % 5 = 0, 'task ' || i FROM generate_series(1, 200) i`

// TestRowsComeAndGoWithTheSubquery follows shapes with subqueries through
// changes of the inner table, of the outer one, and of both in one transaction.
func TestRowsComeAndGoWithTheSubquery(t *testing.T) {
	s := stack.Start(t, projectSchema)
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id NOT IN (SELECT id FROM projects WHERE owner = $1)", Params: []any{"1"}}),
		s.Create(client.Definition{Table: "tasks", Where: "done OR project_id IN (SELECT id FROM projects WHERE active AND owner = 2)"}),
	}
	s.Verify(shapes...)
	for _, sql := range []string{
		"UPDATE projects SET active = true WHERE id = 3",
		"UPDATE projects SET active = false WHERE id IN (2, 4)",
		"INSERT INTO tasks VALUES (1001, 3, false, 'new'), (1002, 4, true, 'new')",
		"BEGIN; INSERT INTO tasks VALUES (1003, 11, false, 'early'); INSERT INTO projects VALUES (11, true, 1); UPDATE tasks SET title = 'late' WHERE id = 1003; COMMIT",
		"BEGIN; UPDATE projects SET active = NOT active; UPDATE projects SET active = NOT active; COMMIT",
		"DELETE FROM projects WHERE owner = 1",
		"BEGIN; UPDATE tasks SET id = id + 5000 WHERE project_id = 6; UPDATE projects SET active = false WHERE id = 6; COMMIT",
		"UPDATE projects SET active = NULL",
		"UPDATE projects SET active = true",
		"TRUNCATE tasks",
		"INSERT INTO tasks SELECT i, i % 12, i % 5 = 0, 'task ' || i FROM generate_series(1, 50) i",
		"DELETE FROM projects",
	} {
		s.Exec(sql)
		s.Verify(shapes...)
	}
}

// TestSubqueriesInSubqueries: an inner shape that is an outer one itself.
func TestSubqueriesInSubqueries(t *testing.T) {
	s := stack.Start(t, projectSchema+`;
		CREATE TABLE comments (id int PRIMARY KEY, task_id int, text text);
		INSERT INTO comments SELECT i, i % 210, 'comment ' || i FROM generate_series(1, 500) i`)
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "comments", Where: "task_id IN (SELECT id FROM tasks WHERE project_id IN (SELECT id FROM projects WHERE active))"}),
		s.Create(client.Definition{Table: "comments", Where: "task_id NOT IN (SELECT id FROM tasks WHERE NOT done AND project_id IN (SELECT id FROM projects WHERE owner = 1))"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
	}
	s.Verify(shapes...)
	for _, sql := range []string{
		"UPDATE projects SET active = NOT active",
		"BEGIN; INSERT INTO comments VALUES (1001, 7, 'new'); UPDATE projects SET owner = 1; UPDATE comments SET task_id = 8 WHERE task_id = 7; COMMIT",
		"DELETE FROM tasks WHERE id % 3 = 0",
		"BEGIN; UPDATE tasks SET project_id = 1 + (project_id + 1) % 10; DELETE FROM comments WHERE id % 5 = 0; UPDATE projects SET active = id % 3 = 0; COMMIT",
		"UPDATE projects SET active = NULL",
		"UPDATE projects SET active = true",
	} {
		s.Exec(sql)
		s.Verify(shapes...)
	}
}

// TestOuterShapesGoOnAfterARestart stops the consumer and the materializer in
// the midst of changes to the sets, and starts them again.
func TestOuterShapesGoOnAfterARestart(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.StartIngest()
	stopConsumer, stopMaterializer := s.StartConsumer(), s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "tasks", Where: "NOT done AND project_id NOT IN (SELECT id FROM projects WHERE owner = 1)"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE id IN (SELECT project_id FROM tasks WHERE done))"}),
	}
	handles := []string{shapes[0].Handle(), shapes[1].Handle(), shapes[2].Handle()}
	for i := range 6 {
		s.Exec("UPDATE projects SET active = NOT active, owner = (owner + 1) % 3 WHERE id % 3 = $1", i%3)
		s.Exec("UPDATE tasks SET project_id = 1 + (coalesce(project_id, 3) + $1) % 11, done = NOT done WHERE id % 7 = $1", i)
		switch i % 3 {
		case 0:
			stopConsumer()
		case 1:
			stopMaterializer()
		case 2:
			stopConsumer()
			stopMaterializer()
		}
		s.Exec("UPDATE projects SET active = NOT active WHERE id % 2 = $1", i%2)
		s.Exec("INSERT INTO tasks VALUES ($1, 3, true, 'while it was away')", 10000+i)
		if i%3 != 1 {
			stopConsumer = s.StartConsumer()
		}
		if i%3 != 0 {
			stopMaterializer = s.StartMaterializer()
		}
		s.Verify(shapes...)
	}
	for i, sh := range shapes {
		if info, err := sh.Refresh(t.Context()); err != nil || info.Handle != handles[i] {
			t.Errorf("shape %s is now %s, %v", handles[i], info.Handle, err)
		}
	}
}

// TestInnerShapesComeAndGo follows the life of an inner shape: made for an
// outer one, asked for by an app, given up by it, and gone with the last that needs it.
func TestInnerShapesComeAndGo(t *testing.T) {
	s := stack.Start(t, projectSchema)
	outer := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	if len(outer.Info().Subqueries) != 1 {
		t.Fatalf("the outer shape names %d inner shapes", len(outer.Info().Subqueries))
	}
	inner, err := s.Client.Open(t.Context(), outer.Info().Subqueries[0])
	if err != nil {
		t.Fatal(err)
	}
	s.Await(inner, "there for others only", func(i control.Shape) bool { return i.Inner && i.State == control.StateLive })

	def := client.Definition{Table: "projects", Columns: []string{"id"}, Where: "active"}
	if asked := s.Create(def); asked.Handle() != inner.Handle() {
		t.Fatalf("an app that asks for the inner shape gets %s, not %s", asked.Handle(), inner.Handle())
	}
	s.Await(inner, "asked for", func(i control.Shape) bool { return !i.Inner })
	s.Verify(inner, outer)

	if err := inner.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Await(inner, "kept for the outer shape", func(i control.Shape) bool { return i.Inner && i.State == control.StateLive })
	s.Exec("UPDATE projects SET active = NOT active")
	s.Verify(inner, outer)

	second := s.Create(client.Definition{Table: "tasks", Where: "NOT done AND project_id IN (SELECT id FROM projects WHERE active)"})
	if second.Info().Subqueries[0] != inner.Handle() {
		t.Fatal("two outer shapes with the same subquery do not share its inner shape")
	}
	for _, sh := range []*client.Shape{outer, second} {
		s.Await(inner, "still there", func(i control.Shape) bool { return i.State == control.StateLive })
		if err := sh.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.Until("the inner shape is gone", func() (bool, error) {
		_, err := inner.Refresh(t.Context())
		return errors.Is(err, client.ErrNotFound), nil
	}, func() string { return "it is there" })
}

// TestAnInnerShapeThatIsWantedStays: the grace of an inner shape without outer shapes begins
// with each shape that comes to need it, so it is not removed before that one's record is there.
func TestAnInnerShapeThatIsWantedStays(t *testing.T) {
	s := stack.New(t, projectSchema)
	s.Consumer.InnerGrace = time.Minute
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	first := s.Create(client.Definition{Table: "tasks", Where: activeTasks})
	id, _, _ := strings.Cut(first.Info().Subqueries[0], "-")
	shapes, err := registry.OpenShapes(t.Context(), s.JS, s.Source)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before, err := shapes.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		next := s.Create(client.Definition{Table: "tasks", Where: "done AND " + activeTasks})
		after, err := shapes.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if after.Handle != before.Handle || !after.Changed.After(before.Changed) {
			t.Fatalf("the inner shape was wanted last at %s, and at %s before", after.Changed, before.Changed)
		}
		if err := next.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Until("the shape is gone", func() (bool, error) {
			_, err := next.Refresh(t.Context())
			return errors.Is(err, client.ErrNotFound), nil
		}, func() string { return "it is there" })
	}
}

// TestAStandaloneShapeIsAdopted: the inner shape has been there, with readers,
// before an outer one names it, which it does in the midst of changes.
func TestAStandaloneShapeIsAdopted(t *testing.T) {
	s := stack.Start(t, projectSchema)
	inner := s.Create(client.Definition{Table: "projects", Columns: []string{"id"}, Where: "active"})
	for i := range 5 {
		s.Exec("UPDATE projects SET active = NOT active WHERE id % 3 = $1", i%3)
	}
	outer, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		s.Exec("UPDATE projects SET active = NOT active WHERE id % 7 = $1", i%7)
	}
	s.Await(outer, "live", func(i control.Shape) bool { return i.State == control.StateLive })
	if outer.Info().Subqueries[0] != inner.Handle() {
		t.Errorf("the outer shape selects from %s, not from %s", outer.Info().Subqueries[0], inner.Handle())
	}
	s.Verify(inner, outer)
}

// TestOuterShapesEndWithTheirInnerShape: a column of the inner table goes.
func TestOuterShapesEndWithTheirInnerShape(t *testing.T) {
	s := stack.Start(t, projectSchema)
	outer := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	s.Exec("ALTER TABLE projects DROP COLUMN owner")
	info := s.Await(outer, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
	if !strings.Contains(info.Reason, "subquery") {
		t.Errorf("the reason is %q", info.Reason)
	}
	again := s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"})
	s.Verify(again)
}

// TestSubqueriesThatCannotBe are refused with what to do, and change nothing.
func TestSubqueriesThatCannotBe(t *testing.T) {
	s := stack.Start(t, projectSchema+`; CREATE TABLE notes (project_id int)`)
	for where, want := range map[string]string{
		"project_id IN (SELECT id FROM nowhere)":                               "nowhere",
		"project_id IN (SELECT id FROM projects LIMIT 3)":                      "LIMIT",
		"project_id IN (SELECT id FROM projects WHERE owner = tasks.id)":       "tasks",
		"project_id IN (SELECT active FROM projects)":                          "type",
		"EXISTS (SELECT 1 FROM projects)":                                      "EXISTS",
		"project_id IN (SELECT p.id FROM projects p, tasks t WHERE p.id=t.id)": "join",
	} {
		_, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: where})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want something about %q", where, err, want)
		}
	}
	_, err := s.Client.Create(t.Context(), client.Definition{Table: "notes", Where: "project_id IN (SELECT id FROM projects)"})
	if err == nil || !strings.Contains(err.Error(), "primary key") {
		t.Errorf("a table without a primary key: %v", err)
	}
	list, err := s.Client.List(t.Context())
	if err != nil || len(list) != 0 {
		t.Errorf("%d shapes are there, %v", len(list), err)
	}
}
