package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/stack"
)

// ids are the ids of what a client holds.
func (h held) ids(column string) []string {
	var out []string
	for _, row := range h.Rows {
		out = append(out, fmt.Sprint(row["id"])+"="+fmt.Sprint(row[column]))
	}
	slices.Sort(out)
	return out
}

// selectIDs is what the same query returns.
func selectIDs(t *testing.T, s *stack.Stack, query string) []string {
	t.Helper()
	rows, err := s.DB.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := []string{}
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

const projects = `
CREATE TABLE projects (id int PRIMARY KEY, active boolean NOT NULL);
INSERT INTO projects SELECT i, i % 2 = 0 FROM generate_series(1, 4) i;
CREATE TABLE tasks (id bigint PRIMARY KEY, project int, title text);
INSERT INTO tasks SELECT i, i % 4 + 1, 'task ' || i FROM generate_series(1, 300) i;`

// TestTheClientFollowsShapes has @electric-sql/client follow shapes of each kind, by long polls and by server-sent events, in answers of
// a few rows, while rows change, the gateway is started again, and a table is truncated.
func TestTheClientFollowsShapes(t *testing.T) {
	node(t)
	s := stack.Start(t, projects)
	s.Gateway.ChunkBytes, s.Gateway.LongPoll = 10_000, 5*time.Second
	base, stop := s.StartGateway()
	f := follow(t, base)
	active := "SELECT id || '=' || title FROM tasks WHERE project IN (SELECT id FROM projects WHERE active)"
	want := map[string]string{}
	for _, sse := range []bool{false, true} {
		for name, c := range map[string]struct {
			params map[string]any
			query  string
		}{
			"all":    {map[string]any{"table": "tasks"}, "SELECT id || '=' || title FROM tasks"},
			"few":    {map[string]any{"table": "tasks", "where": "project = $1", "params": []string{"3"}, "columns": []string{"id", "title"}}, "SELECT id || '=' || title FROM tasks WHERE project = 3"},
			"active": {map[string]any{"table": "tasks", "where": "project IN (SELECT id FROM projects WHERE active)"}, active},
		} {
			name = fmt.Sprintf("%s, SSE %v", name, sse)
			f.say(map[string]any{"open": name, "params": c.params, "sse": sse})
			want[name] = c.query
		}
	}
	compare := func(step string) {
		t.Helper()
		for name, query := range want {
			rows := selectIDs(t, s, query)
			var got held
			s.Until(step+": "+name, func() (bool, error) {
				got = f.say(map[string]any{"rows": name})
				return cmp.Equal(got.ids("title"), rows), nil
			}, func() string { return fmt.Sprintf("%d rows of %d, error %q", len(got.Rows), len(rows), got.Error) })
		}
	}
	compare("the snapshot")
	s.Exec(`UPDATE tasks SET title = title || '!' WHERE id % 3 = 0; DELETE FROM tasks WHERE id < 20; INSERT INTO tasks VALUES (1000, 3, 'new "\')`)
	compare("changes")
	s.Exec(`UPDATE projects SET active = NOT active`)
	compare("what the subquery selects has changed")
	stop()
	s.Exec(`UPDATE tasks SET project = project % 4 + 1`)
	s.Gateway.Listener = listenAgain(t, base)
	s.StartGateway()
	compare("another gateway")
	s.Exec(`TRUNCATE tasks; INSERT INTO tasks SELECT i, 3, 'again' FROM generate_series(1, 5) i`)
	compare("the table was truncated")
}

// TestATodoAppOnTanStackDB runs an app that writes through a server of its own.
func TestATodoAppOnTanStackDB(t *testing.T) {
	dir := node(t)
	s := stack.Start(t, `
CREATE TABLE todos (id int PRIMARY KEY, title text NOT NULL, done boolean NOT NULL, rank int);
INSERT INTO todos SELECT i, 'todo ' || i, i % 2 = 0, i FROM generate_series(1, 20) i;`)
	base, _ := s.StartGateway()
	db := s.Connect()
	var mu sync.Mutex
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req struct {
			Statement string `json:"statement"`
			Args      []any  `json:"args"`
		}
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		var txid int64
		tx, err := db.Begin(r.Context())
		if err == nil {
			for i, a := range req.Args { // JSON has floats only
				if f, ok := a.(float64); ok {
					req.Args[i] = int64(f)
				}
			}
			if _, err = tx.Exec(r.Context(), req.Statement, req.Args...); err == nil {
				err = tx.QueryRow(r.Context(), "SELECT pg_current_xact_id()::xid::text::bigint").Scan(&txid)
			}
			if err == nil {
				err = tx.Commit(r.Context())
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]int64{"txid": txid}) // the app notices
	}))
	defer app.Close()
	cmd := exec.CommandContext(t.Context(), "node", "todo.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GATEWAY="+base, "APP="+app.URL, "SUBSETS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the app: %v\n%s", err, out)
	}
	for _, step := range []string{"eager", "where", "on-demand", "progressive"} {
		if !strings.Contains(string(out), "ok: "+step) {
			t.Errorf("the app did not come to %s:\n%s", step, out)
		}
	}
}
