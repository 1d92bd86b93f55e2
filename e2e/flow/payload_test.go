package flow

import (
	"context"
	"fmt"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// TestRowsLargerThanWhatReadersAskFor: the server takes messages of 8 MB, more
// than any reader lets it send in advance.
func TestRowsLargerThanWhatReadersAskFor(t *testing.T) {
	t.Parallel()
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), MaxPayload: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	s := stack.WithNATS(t, `
		CREATE TABLE projects (id int PRIMARY KEY, active bool, name text);
		CREATE TABLE tasks (id int PRIMARY KEY, project_id int, title text);
		INSERT INTO projects SELECT i, i % 2 = 0, 'project ' || i FROM generate_series(1, 10) i;
		INSERT INTO tasks SELECT i, 1 + i % 10, 'task ' || i FROM generate_series(1, 50) i`, server)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	const large = 6 << 20
	s.Exec(fmt.Sprintf("INSERT INTO tasks VALUES (100, 2, repeat('r', %d))", large)) // in the snapshots
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
		s.Create(client.Definition{Table: "tasks", Where: "title IN (SELECT name FROM projects)"}), // the values are as large
		s.Create(client.Definition{Table: "projects"}),
	}
	s.Verify(shapes...)
	for _, sql := range []string{
		"INSERT INTO tasks VALUES (101, 2, repeat('t', %d))",
		"UPDATE tasks SET title = repeat('u', %d), project_id = 4 WHERE id = 101",
		"INSERT INTO projects VALUES (11, true, repeat('u', %d))",
		"UPDATE projects SET active = false, name = repeat('p', %d) WHERE id = 4",
		"UPDATE projects SET active = true, name = repeat('r', %d) WHERE id = 4",
		"DELETE FROM tasks WHERE length(title) = %d",
	} {
		s.Exec(fmt.Sprintf(sql, large))
		s.Verify(shapes...)
	}
	s.Exec("DELETE FROM projects WHERE length(name) > 100")
	s.Exec("UPDATE tasks SET title = 'project 3' WHERE id < 10")
	s.Verify(shapes...)
}

// TestTheServerTakesLessThanBefore starts the server again with another
// max_payload while rows are written that are larger than the lower one.
func TestTheServerTakesLessThanBefore(t *testing.T) {
	t.Parallel()
	const high, low, large = 1 << 20, 64 << 10, 400 << 10
	port, err := natstest.FreePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	opts := natsembed.Options{Dir: t.TempDir(), Port: port, MaxPayload: high}
	var server *natsembed.Server
	start := func() {
		var err error
		if server, err = natsembed.Start(opts); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Stop)
	}
	start()
	s := stack.WithNATS(t, `
		CREATE TABLE projects (id int PRIMARY KEY, active bool);
		CREATE TABLE tasks (id int PRIMARY KEY, project_id int, title text);
		INSERT INTO projects SELECT i, i % 2 = 0 FROM generate_series(1, 10) i`, server)
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "tasks"}),
		s.Create(client.Definition{Table: "tasks", Where: "project_id IN (SELECT id FROM projects WHERE active)"}),
	}
	for round := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		written, conn := make(chan error), s.Connect()
		go func() { // so that messages are on their way when the connection goes
			for i := range 1000 {
				//nolint:contextcheck // ctx says when to stop, not in the middle of a statement
				_, err := conn.Exec(t.Context(), "INSERT INTO tasks VALUES ($1, $2, repeat('x', $3))", 1000*round+i, 1+i%10, large)
				if err != nil || ctx.Err() != nil && i > 4 {
					written <- err
					return
				}
			}
			written <- nil
		}()
		server.Stop()
		opts.MaxPayload = []int{low, high}[round%2]
		start()
		s.NATS = server
		cancel()
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		s.Exec("UPDATE projects SET active = NOT active WHERE id % 3 = $1", round%3)
		s.Until("the consumer answers", func() (bool, error) {
			_, err := shapes[0].Refresh(t.Context())
			return err == nil, err
		}, func() string { return "it does not" })
		s.Verify(shapes...)
		s.Exec("DELETE FROM tasks WHERE id % 2 = 0")
	}
	s.Verify(shapes...)
}
