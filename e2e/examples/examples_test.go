package examples

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"github.com/shapebus/shapebus/pkg/client"
)

const tasksQuery = "SELECT id, project_id, done, title FROM tasks WHERE NOT done"

// equal waits until a copy is what the query says.
func (w *world) equal(query string, copied func() (map[string]int, error)) {
	w.t.Helper()
	w.rest()
	want := w.rows(query)
	var got map[string]int
	w.Until("the copy equals the query", func() (bool, error) {
		var err error
		got, err = copied()
		return maps.Equal(got, want), err
	}, func() string { return fmt.Sprintf("%d rows, want %d", len(got), len(want)) })
}

func TestTailSurvivesKills(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	w := start(t, "tail", "-table", "tasks", "-where", "NOT done", "-state", state)
	w.crashes(5)
	w.equal(tasksQuery, func() (map[string]int, error) { return folded(w.printed()) })
}

// folded plays what tail has printed. It prints before it keeps its position, so the last
// transaction before a kill may come twice, under the same position.
func folded(printed string) (map[string]int, error) {
	rows, seen := map[string]string{}, map[string]bool{}
	type op struct{ kind, row string }
	var open []op
	for l := range strings.SplitSeq(printed, "\n") {
		kind, rest, _ := strings.Cut(strings.TrimSpace(l), " ")
		rest = strings.TrimSpace(rest)
		switch kind {
		case "begin":
			open = nil
		case "commit":
			position, _, _ := strings.Cut(rest, ",")
			if seen[position] {
				continue
			}
			seen[position] = true
			for _, o := range open {
				var row struct {
					ID      string  `json:"id"`
					Project string  `json:"project_id"`
					Done    string  `json:"done"`
					Title   *string `json:"title"`
				}
				if err := json.Unmarshal([]byte(o.row), &row); err != nil {
					return nil, fmt.Errorf("%s: %w", o.row, err)
				}
				values := [][]byte{[]byte(row.ID), []byte(row.Project), []byte(row.Done), nil}
				if row.Title != nil {
					values[3] = []byte(*row.Title)
				}
				_, there := rows[row.ID]
				switch {
				case o.kind == "delete" && there:
					delete(rows, row.ID)
				case o.kind == "insert" && !there, o.kind == "update" && there:
					rows[row.ID] = line(values)
				default:
					return nil, fmt.Errorf("%s %s, which is there: %t", o.kind, o.row, there)
				}
			}
		case "insert", "update", "delete":
			open = append(open, op{kind, rest})
		}
	}
	out := map[string]int{}
	for _, r := range rows {
		out[r]++
	}
	return out, nil
}

func TestViewSurvivesKills(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	w := start(t, "view", "-table", "tasks", "-where", "NOT done", "-state", state, "-every", "30ms")
	w.crashes(5)
	w.equal(tasksQuery, func() (map[string]int, error) {
		f, err := os.Open(state)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		s, err := client.ReadSnapshot(f)
		if err != nil {
			return nil, err
		}
		out := map[string]int{}
		for _, r := range s.Rows {
			out[line(r.RawValues())]++
		}
		return out, nil
	})
}

func TestTogetherHoldsAForeignKeyAtEveryLook(t *testing.T) {
	w := start(t, "together", "-parents", "projects", "-children", "tasks", "-reference", "project_id")
	w.run()
	ended := make(chan error, 1)
	command := w.command
	go func() { ended <- command.Wait() }()
	w.command = nil
	t.Cleanup(func() { _ = command.Process.Kill() })
	looks := func() int { return strings.Count(w.printed(), "\n") }
	w.Until("there were 60 looks under traffic", func() (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("it ended: %w, behind %d looks", err, looks())
		default:
			return looks() >= 60, nil
		}
	}, func() string { return fmt.Sprintf("%d looks", looks()) })
	w.rest()
	projects, tasks := len(w.rows("SELECT id FROM projects")), len(w.rows("SELECT id FROM tasks"))
	w.Until("it shows all", func() (bool, error) {
		return strings.HasSuffix(w.printed(), fmt.Sprintf(": %d parents, %d children\n", projects, tasks)), nil
	}, func() string { return fmt.Sprintf("not %d and %d", projects, tasks) })
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestSQLiteSurvivesKills(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.db")
	w := start(t, "sqlite", "-table", "tasks", "-where", "NOT done", "-file", file)
	w.crashes(8)
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.equal(tasksQuery, func() (map[string]int, error) { return copied(db) })
}

func TestSQLiteTakesOtherColumns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy.db")
	w := start(t, "sqlite", "-table", "tasks", "-where", "NOT done", "-file", file)
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w.run()
	w.equal(tasksQuery, func() (map[string]int, error) { return copied(db) })
	w.Exec("ALTER TABLE tasks ADD COLUMN note text DEFAULT 'new'")
	const notes = "SELECT count(*) FROM tasks WHERE NOT done AND note = 'new'"
	var got, want int
	if err := w.DB.QueryRow(t.Context(), notes).Scan(&want); err != nil {
		t.Fatal(err)
	}
	w.Until("the copy has the new column", func() (bool, error) {
		if err := db.QueryRow("SELECT count(*) FROM copy WHERE note = 'new'").Scan(&got); err != nil && !strings.Contains(err.Error(), "no such column") {
			return false, err
		}
		return got == want, nil
	}, func() string { return fmt.Sprintf("%d rows have it, want %d", got, want) })
}

func copied(db *sql.DB) (map[string]int, error) {
	rows, err := db.Query("SELECT id, project_id, done, title FROM copy")
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return nil, nil // it has not begun
		}
		return nil, err
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		values := make([][]byte, 4)
		if err := rows.Scan(&values[0], &values[1], &values[2], &values[3]); err != nil {
			return nil, err
		}
		out[line(values)]++
	}
	return out, rows.Err()
}
