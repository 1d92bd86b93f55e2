package examples

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

const schema = `
CREATE TABLE projects (id int PRIMARY KEY, name text);
CREATE TABLE tasks (id int PRIMARY KEY, project_id int NOT NULL REFERENCES projects, done bool NOT NULL, title text);
INSERT INTO projects SELECT i, 'project ' || i FROM generate_series(1, 20) i;
INSERT INTO tasks SELECT i, 1 + i % 20, i % 3 = 0, 'task ' || i FROM generate_series(1, 500) i;
`

// world is a running Shapebus with traffic, and a program that reads it.
type world struct {
	*stack.Stack

	t       *testing.T
	rng     *rand.Rand // of the test's goroutine
	program string
	args    []string
	out     bytes.Buffer // what all runs of the program have printed; guarded by mu
	mu      sync.Mutex
	command *exec.Cmd
	rest    func() // ends the traffic
}

// start builds a program and runs it beside traffic.
func start(t *testing.T, program string, args ...string) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Postgres and JetStream; not in -short")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), program: filepath.Join(t.TempDir(), program)}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", w.program, "../../examples/"+program).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.Stack = stack.WithNATS(t, schema, server)
	w.StartIngest()
	w.StartConsumer()
	w.StartMaterializer()
	w.args = append([]string{"-nats", server.ClientURL(), "-source", string(w.Source)}, args...)
	ctx, cancel := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	for i := range uint64(2) {
		conn := w.Connect()
		traffic.Go(func() { write(ctx, t, conn, rand.New(rand.NewPCG(seed, 2+i)), int(i)) })
	}
	w.rest = func() { cancel(); traffic.Wait() }
	t.Cleanup(func() { w.rest(); w.kill() })
	return w
}

// write commits random transactions, all of which keep the tasks' references.
func write(ctx context.Context, t *testing.T, conn *pgx.Conn, rng *rand.Rand, writer int) {
	t.Helper()
	next := 1000 * (writer + 1)
	for n := 0; ctx.Err() == nil; n++ {
		time.Sleep(3 * time.Millisecond) // so that who reads keeps up, whatever the machine
		var sql string
		switch rng.IntN(8) {
		case 0: // with its tasks, in one transaction
			next++
			sql = fmt.Sprintf("INSERT INTO projects VALUES (%d, 'new'); INSERT INTO tasks SELECT %d + i, %d, i %% 2 = 0, 'new' FROM generate_series(1, %d) i", next, next*100, next, 1+rng.IntN(20))
		case 1:
			id := 1000*(writer+1) + 1 + rng.IntN(max(next-1000*(writer+1), 1))
			sql = fmt.Sprintf("DELETE FROM tasks WHERE project_id = %d; DELETE FROM projects WHERE id = %d", id, id)
		case 2:
			sql = fmt.Sprintf("UPDATE tasks SET done = NOT done WHERE id %% 7 = %d AND id <= 500", rng.IntN(7))
		case 3:
			sql = fmt.Sprintf("UPDATE tasks SET title = CASE WHEN random() < 0.1 THEN NULL ELSE title || '.' END WHERE id = %d", 1+rng.IntN(500))
		case 4: // a changed key
			id := 1 + rng.IntN(500)
			sql = fmt.Sprintf("UPDATE tasks SET id = -id WHERE abs(id) = %d", id)
		default:
			sql = fmt.Sprintf("UPDATE tasks SET done = NOT done WHERE id = %d", 1+rng.IntN(500))
		}
		// Several statements in one query are one transaction.
		if _, err := conn.PgConn().Exec(context.WithoutCancel(ctx), sql).ReadAll(); err != nil && !strings.Contains(err.Error(), "deadlock") {
			t.Errorf("%s: %v", sql, err)
			return
		}
		timer := time.NewTimer(time.Duration(rng.IntN(8)) * time.Millisecond) // an app's pace
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// Write takes what the program prints.
func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(b)
}

func (w *world) printed() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

// run starts the program.
func (w *world) run() {
	w.t.Helper()
	w.command = exec.Command(w.program, w.args...)
	w.command.Stdout, w.command.Stderr = w, os.Stderr
	if err := w.command.Start(); err != nil {
		w.t.Fatal(err)
	}
}

// kill ends the program at once, as a crash does.
func (w *world) kill() {
	if w.command != nil {
		_ = w.command.Process.Kill()
		_ = w.command.Wait()
		w.command = nil
	}
}

// crashes runs the program and kills it at random times, and lets it run at last.
func (w *world) crashes(times int) {
	for range times {
		w.run()
		timer := time.NewTimer(time.Duration(50+w.rng.IntN(500)) * time.Millisecond) // whatever it is doing then
		<-timer.C
		w.kill()
	}
	w.run()
}

// rows are the lines of a query, one a row, its values as text.
func (w *world) rows(sql string) map[string]int {
	w.t.Helper()
	result := w.DB.PgConn().ExecParams(w.t.Context(), sql, nil, nil, nil, nil).Read()
	if result.Err != nil {
		w.t.Fatal(result.Err)
	}
	out := map[string]int{}
	for _, row := range result.Rows {
		out[line(row)]++
	}
	return out
}

func line(row [][]byte) string {
	var b strings.Builder
	for _, v := range row {
		if v == nil {
			b.WriteString("NULL|")
		} else {
			fmt.Fprintf(&b, "%q|", v)
		}
	}
	return b.String()
}
