package flow

import (
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
)

// TestManyValuesChangeAtOnce: more values come and go with one transaction than one query asks by, and some rows are
// found by several queries. What depends on such a shape gets them right as well.
func TestManyValuesChangeAtOnce(t *testing.T) {
	s := stack.Start(t, `
		CREATE TABLE projects (id int PRIMARY KEY, active bool NOT NULL);
		CREATE TABLE tasks (id int PRIMARY KEY, project_id int, other_id int, title text);
		CREATE INDEX ON tasks (project_id); CREATE INDEX ON tasks (other_id);
		CREATE TABLE comments (id int PRIMARY KEY, task_id int);
		INSERT INTO projects SELECT 100000 + i, i % 3 = 0 FROM generate_series(1, 70000) i;
		INSERT INTO tasks SELECT i, 100000 + i * 37, 170000 - i * 23, 'task ' || i FROM generate_series(1, 1500) i;
		INSERT INTO comments SELECT i, i % 1550 FROM generate_series(1, 2000) i; ANALYZE`)
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active) OR other_id IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active) AND title > 'task 2'"}),
		s.Create(client.Definition{
			Table: "comments",
			Where: "task_id IN (SELECT id FROM tasks WHERE project_id IN (SELECT id FROM projects WHERE active) OR other_id IN (SELECT id FROM projects WHERE active))",
		}),
	}
	s.Verify(shapes...)
	for _, sql := range []string{
		"UPDATE projects SET active = NOT active",
		"BEGIN; UPDATE projects SET active = false; UPDATE tasks SET other_id = project_id WHERE id % 2 = 0; COMMIT",
		"BEGIN; UPDATE tasks SET title = 'task 1' WHERE id % 5 = 0; UPDATE projects SET active = true; INSERT INTO tasks SELECT 5000 + i, 100000 + i, NULL, 'new' FROM generate_series(1, 50) i; COMMIT",
	} {
		s.Exec(sql)
		s.Verify(shapes...)
	}
}
