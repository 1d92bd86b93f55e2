package flow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// writers run random transactions on tasks until stop is called.
func writers(s *stack.Stack, n int, session string) (stop func()) {
	ctx, cancel := context.WithCancel(s.TB.Context())
	var wg sync.WaitGroup
	for w := range n {
		conn := s.Connect()
		seed := rand.Uint64()
		s.TB.Logf("writer %d: seed %d", w, seed)
		rnd := rand.New(rand.NewPCG(seed, 0))
		wg.Go(func() {
			if session != "" {
				if _, err := conn.Exec(ctx, session); err != nil {
					s.TB.Error(err)
					return
				}
			}
			for ; ctx.Err() == nil; time.Sleep(pace) {
				var sql strings.Builder
				sql.WriteString("BEGIN;")
				for range 1 + rnd.IntN(4) {
					id := rnd.IntN(200)
					switch rnd.IntN(6) {
					case 0:
						fmt.Fprintf(&sql, "DELETE FROM tasks WHERE id = %d;", id)
					case 1:
						fmt.Fprintf(&sql, "SAVEPOINT a; UPDATE tasks SET owner = 9 WHERE id = %d; ROLLBACK TO a;", id)
					default:
						fmt.Fprintf(&sql, "INSERT INTO tasks VALUES (%d, %d, 'w') ON CONFLICT (id) DO UPDATE SET owner = excluded.owner;", id, rnd.IntN(4))
					}
				}
				end := "COMMIT"
				if rnd.IntN(5) == 0 {
					end = "ROLLBACK"
				}
				_, err := conn.PgConn().Exec(ctx, sql.String()+end).ReadAll()
				if err != nil && ctx.Err() == nil && !strings.Contains(err.Error(), "deadlock") {
					s.TB.Errorf("%s: %v", sql.String(), err)
					return
				}
				if err != nil && ctx.Err() == nil {
					_, err = conn.Exec(ctx, "ROLLBACK")
				}
				if err != nil && ctx.Err() == nil {
					s.TB.Error(err)
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// TestShapesCreatedDuringWrites pins that snapshot and stream meet without a
// gap or a repeat (failure modes N1, N2, H1).
func TestShapesCreatedDuringWrites(t *testing.T) {
	s := stack.Start(t, tasks)
	stop := writers(s, 3, "")
	var shapes []*client.Shape
	for i := range 12 {
		shapes = append(shapes, s.Create(client.Definition{Table: "tasks", Where: fmt.Sprintf("owner = %d", i)}))
		shapes = append(shapes, s.Create(client.Definition{Table: "tasks", Columns: []string{"id", "owner"}, Where: fmt.Sprintf("id > %d", i*10)}))
	}
	stop()
	s.Verify(shapes...)
}

// TestCommitsStreamedBeforeTheyAreVisible makes transactions that the change
// log holds and new snapshots do not see: with a synchronous standby that is
// missing, a commit waits after it stands in the WAL. Shapes created meanwhile
// must not lose them, nor hold others twice (H1 and H2).
func TestCommitsStreamedBeforeTheyAreVisible(t *testing.T) {
	server := pgtest.Own(t, map[string]string{"synchronous_standby_names": "nobody", "synchronous_commit": "local"})
	if err := server.CreateDatabase(t.Context(), "h1"); err != nil {
		t.Fatal(err)
	}
	s := stack.On(t, server.URL("h1"), tasks)
	s.StartIngest()
	s.StartConsumer()
	first := s.Create(client.Definition{Table: "tasks"})

	hung := s.Connect()
	pid := hung.PgConn().PID()
	done := make(chan error, 1)
	go func() {
		_, err := hung.PgConn().Exec(context.WithoutCancel(t.Context()), "SET synchronous_commit = on; INSERT INTO tasks VALUES (500, 1, 'streamed, not visible')").ReadAll()
		done <- err
	}()
	s.Until("the commit waits for its standby", func() (bool, error) {
		var event string
		err := s.DB.QueryRow(t.Context(), "SELECT coalesce(wait_event, '') FROM pg_stat_activity WHERE pid = $1", pid).Scan(&event)
		return event == "SyncRep", err
	}, func() string { return "it does not" })
	s.Exec("UPDATE tasks SET title = 'later and visible' WHERE id = 1")
	s.Settle(first) // the change log, and thus the main loop, is past the hung commit
	var n int
	if err := s.DB.QueryRow(t.Context(), "SELECT count(*) FROM tasks WHERE id = 500").Scan(&n); err != nil || n != 0 {
		t.Fatalf("the fault did not fire: the row is visible (%d, %v)", n, err)
	}

	second := s.Create(client.Definition{Table: "tasks", Where: "owner = 1"})
	third := s.Create(client.Definition{Table: "tasks", Columns: []string{"id", "title"}})
	s.Exec("UPDATE tasks SET title = 'third' WHERE id = 2")
	s.Exec("SELECT pg_cancel_backend($1)", pid) // the commit stands; only the wait ends
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.Verify(first, second, third)
	if err := s.DB.QueryRow(t.Context(), "SELECT count(*) FROM tasks WHERE id = 500").Scan(&n); err != nil || n != 1 {
		t.Fatalf("the hung commit is lost (%d, %v)", n, err)
	}
}

// TestBadRequestsChangeNothing sends what cannot be, and checks the answers
// and that nothing came of it.
func TestBadRequestsChangeNothing(t *testing.T) {
	s := stack.Start(t, tasks+`
CREATE VIEW v AS SELECT * FROM tasks;
CREATE TABLE gen (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a + 1) STORED);`)
	for _, tt := range []struct {
		name string
		def  client.Definition
		code string
		text string
	}{
		{"unknown table", client.Definition{Table: "taks"}, control.CodeBadRequest, "tasks"},
		{"malformed table", client.Definition{Table: "a.b.c"}, control.CodeBadRequest, "a.b.c"},
		{"view", client.Definition{Table: "v"}, control.CodeBadRequest, "view"},
		{"unknown column", client.Definition{Table: "tasks", Columns: []string{"id", "nope"}}, control.CodeBadRequest, "nope"},
		{"without the primary key", client.Definition{Table: "tasks", Columns: []string{"title"}}, control.CodeBadRequest, "primary key"},
		{"column twice", client.Definition{Table: "tasks", Columns: []string{"id", "id"}}, control.CodeBadRequest, "twice"},
		{"generated column", client.Definition{Table: "gen", Columns: []string{"id", "b"}}, control.CodeBadRequest, "generated"},
		{"syntax error", client.Definition{Table: "tasks", Where: "owner = = 1"}, control.CodeBadRequest, "position 9"},
		{"unknown column in the clause", client.Definition{Table: "tasks", Where: "ownr = 1"}, control.CodeBadRequest, "ownr"},
		{"type mismatch", client.Definition{Table: "tasks", Where: "owner = 'x'"}, control.CodeBadRequest, "position"},
		{"missing parameter", client.Definition{Table: "tasks", Where: "owner = $1"}, control.CodeBadRequest, "$1"},
		{"subquery", client.Definition{Table: "tasks", Where: "owner IN (SELECT 1)"}, control.CodeBadRequest, "subquer"},
		{"injection", client.Definition{Table: "tasks", Where: "true; DROP TABLE tasks"}, control.CodeBadRequest, ""},
		{"a clause of a megabyte", client.Definition{Table: "tasks", Where: strings.Repeat("owner = 1 OR ", 80_000) + "true"}, control.CodeBadRequest, "bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.def.Table == "gen" && pg.Major(s.DB) >= 18 {
				t.Skip("the publication carries stored generated columns from Postgres 18 on")
			}
			_, err := s.Client.Create(t.Context(), tt.def)
			var re *client.RequestError
			if !errors.As(err, &re) {
				t.Fatalf("error %v, want a refusal", err)
			}
			if re.Code != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("code %s, text %q; want %s and %q", re.Code, err, tt.code, tt.text)
			}
		})
	}
	shapes, err := s.Client.List(t.Context())
	if err != nil || len(shapes) != 0 {
		t.Errorf("shapes after refusals: %v, %v", shapes, err)
	}
	var published int
	if err := s.DB.QueryRow(t.Context(), "SELECT count(*) FROM pg_publication_rel").Scan(&published); err != nil || published != 0 {
		t.Errorf("%d tables were published by refused requests (%v)", published, err)
	}
}

// TestSameDefinitionSameShape finds a shape again however it is written.
func TestSameDefinitionSameShape(t *testing.T) {
	s := stack.Start(t, tasks)
	a := s.Create(client.Definition{Table: "tasks", Where: "owner = $1", Params: []any{"3"}})
	for _, def := range []client.Definition{
		{Table: "public.tasks", Where: "owner   =  3"},
		{Table: `"tasks"`, Where: "OWNER = $1", Params: []any{"3"}, Columns: []string{"title", "id", "done", "owner"}},
	} {
		b, err := s.Client.Create(t.Context(), def)
		if err != nil {
			t.Fatal(err)
		}
		if a.Handle() != b.Handle() {
			t.Errorf("%+v is %s, want %s", def, b.Handle(), a.Handle())
		}
	}
	// Many at once make one.
	handles := make(chan string, 10)
	for range 10 {
		go func() {
			sh, err := s.Client.Create(t.Context(), client.Definition{Table: "tasks", Where: "id < 50"})
			if err != nil {
				t.Error(err)
				handles <- ""
				return
			}
			handles <- sh.Handle()
		}()
	}
	first := <-handles
	for range 9 {
		if h := <-handles; h != first {
			t.Errorf("handles %s and %s for one definition", first, h)
		}
	}
}

// TestMissingPrivilege says what to run, and registers nothing.
func TestMissingPrivilege(t *testing.T) {
	s := stack.New(t, `CREATE TABLE theirs (id int PRIMARY KEY)`)
	s.StartIngest()
	role := "r_" + string(s.Source)
	s.Exec(fmt.Sprintf("CREATE ROLE %s LOGIN; GRANT SELECT ON theirs TO %[1]s", pg.Ident(role)))
	s.Consumer.DatabaseURL = strings.Replace(s.URL, "postgres@", role+"@", 1)
	s.StartConsumer()
	_, err := s.Client.Create(t.Context(), client.Definition{Table: "theirs"})
	var re *client.RequestError
	if !errors.As(err, &re) || re.Code != control.CodeForbidden || !strings.Contains(re.Error(), "ALTER") {
		t.Fatalf("error %v, want 403 with the statement to run", err)
	}
}
