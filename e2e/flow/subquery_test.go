package flow

import (
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
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
		s.Create(client.Definition{Table: "tasks", Where: "project_id NOT IN (SELECT id FROM projects WHERE owner = $1)", Params: []string{"1"}}),
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
