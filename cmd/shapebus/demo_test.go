package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/demo"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// demoRun is a demo of the built binary, with a directory for its temporary files and a mark by which its processes can be told.
type demoRun struct {
	cmd  *exec.Cmd
	temp string
	mark string
}

// demoTime bounds a demo with few rows on a busy machine.
const demoTime = 3 * time.Minute

func newDemoRun(t *testing.T, args ...string) *demoRun {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	// Not t.TempDir, which is closed to the user that Postgres runs as.
	temp, err := os.MkdirTemp("", "demo-test-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), demoTime)
	t.Cleanup(cancel)
	r := &demoRun{temp: temp, mark: fmt.Sprintf("DEMO_TEST=%016x", rand.Uint64())}
	r.cmd = exec.CommandContext(ctx, "shapebus", append([]string{"demo"}, args...)...)
	r.cmd.Env = append(os.Environ(), r.mark, "TMPDIR="+temp)
	r.cmd.WaitDelay = 10 * time.Second
	return r
}

// run returns what the demo printed and its exit code.
func (r *demoRun) run(t *testing.T) (output string, code int) {
	t.Helper()
	var out bytes.Buffer
	r.cmd.Stdout, r.cmd.Stderr = &out, &out
	err := r.cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("%v\n%s", err, out.String())
	} else if ok {
		code = exit.ExitCode()
	}
	return out.String(), code
}

// start returns when the demo has printed a line that contains text.
func (r *demoRun) start(t *testing.T, text string) {
	t.Helper()
	out, w := io.Pipe()
	r.cmd.Stdout, r.cmd.Stderr = w, w
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		t.Log(strings.TrimRight(line, "\n"))
		if strings.Contains(line, text) {
			break
		}
		if err != nil {
			t.Fatalf("no line with %q: %v", text, err)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
}

// processes lists those of the run that are still there; nothing on a system without /proc.
func (r *demoRun) processes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range files {
		env, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(env, []byte(r.mark)) {
			continue // it has ended, or is another user's
		}
		if line, err := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline")); err == nil {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
}

func (r *demoRun) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(r.temp)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// gone fails the test unless the run has left nothing.
func (r *demoRun) gone(t *testing.T) {
	t.Helper()
	if p := r.processes(t); len(p) > 0 {
		t.Errorf("processes left: %q", p)
	}
	if f := r.files(t); len(f) > 0 {
		t.Errorf("files left: %q", f)
	}
}

func TestDemoHoldsWhatItPromisesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newDemoRun(t, "--once", "--rows", "20000", "--seconds", "2")
	out, code := r.run(t)
	if code != 0 || strings.Contains(out, "✗") {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	for _, want := range []string{
		"13,300 rows", "3,040 rows", "119 rows", // of the large transaction, counted by hand from its SQL
		"✓ the copy of one project's tasks equals its SELECT",
		"✓ every transaction came to urgent open tasks whole and once",
		"✓ offsets of support's comments, 30 days strictly increase",
		"✓ the replication slot has let go of the demo's WAL",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	r.gone(t)
}

func TestDemoFindsWhatGoesWrongAndSaysWhat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault demo.Fault
		want  []string
	}{
		{demo.FaultLostChange, []string{"✗ every transaction came to one project's tasks whole and once: transaction ", "checks failed: "}},
		{demo.FaultStrayRow, []string{"✗ the copy of urgent open tasks equals its SELECT: 1 wrong row: 1 row too many", "checks failed: the copy of urgent open tasks equals its SELECT"}},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			r := newDemoRun(t, "--once", "--rows", "2000", "--seconds", "1", "--fault", string(c.fault))
			out, code := r.run(t)
			if code != exitFailed {
				t.Errorf("exit code %d, want %d", code, exitFailed)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in:\n%s", want, out)
				}
			}
			r.gone(t)
		})
	}
}

func TestDemoEndsWithCtrlC(t *testing.T) {
	t.Parallel()
	r := newDemoRun(t, "--rows", "1000", "--seconds", "1")
	r.start(t, "shape tail ")
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Error(err)
	}
	r.gone(t)
}

func TestDemoThatWasStoppedTooEarlyHasNotPassed(t *testing.T) {
	t.Parallel()
	r := newDemoRun(t, "--once", "--seconds", "600")
	r.start(t, "ordinary traffic")
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := r.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitFailed {
		t.Errorf("got %v, want exit code %d", err, exitFailed)
	}
	r.gone(t)
}

// Its Postgres' directory is removed by the next demo; see package pgtemp.
func TestNothingOfADemoRunsOnAfterItWasKilled(t *testing.T) {
	t.Parallel()
	r := newDemoRun(t, "--seconds", "600")
	r.start(t, "ordinary traffic")
	if len(r.processes(t)) < 5 {
		t.Fatalf("the parts of the demo cannot be found by their mark: %q", r.processes(t))
	}
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = r.cmd.Wait()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		files := r.files(t)
		if len(r.processes(t)) == 0 && len(files) == 1 && strings.HasPrefix(files[0], "shapebus-pg-") {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %s: processes %q, files %q", patience, r.processes(t), files)
		}
	}
}

func TestDemoIsATidyGuest(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	url := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	left := func() (what string) {
		t.Helper()
		err := conn.QueryRow(t.Context(), `SELECT coalesce(string_agg(n, ', '), '') FROM (SELECT nspname::text n FROM pg_namespace UNION ALL
			SELECT pubname FROM pg_publication UNION ALL
			SELECT slot_name FROM pg_replication_slots WHERE database = current_database()) x WHERE n LIKE 'shapebus%'`).Scan(&what)
		if err != nil {
			t.Fatal(err)
		}
		return what
	}
	run := func(want int) string {
		t.Helper()
		r := newDemoRun(t, "--once", "--rows", "1000", "--seconds", "1", "--database-url", url)
		out, code := r.run(t)
		if code != want {
			t.Fatalf("exit code %d, want %d:\n%s", code, want, out)
		}
		r.gone(t)
		return out
	}

	// What a killed demo leaves.
	for _, sql := range []string{
		"CREATE SCHEMA shapebus_demo", "COMMENT ON SCHEMA shapebus_demo IS 'made by shapebus demo, which drops it'", "CREATE TABLE shapebus_demo.tasks (id int)",
		"CREATE PUBLICATION shapebus_demo_tmp", "SELECT pg_create_logical_replication_slot('shapebus_demo_tmp', 'pgoutput')",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	run(exitOK)
	if what := left(); what != "" {
		t.Errorf("the demo left %s", what)
	}

	// A schema of the same name that somebody else made.
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA shapebus_demo"); err != nil {
		t.Fatal(err)
	}
	if out := run(exitFailed); !strings.Contains(out, "has a schema shapebus_demo that no demo made") {
		t.Errorf("the demo said:\n%s", out)
	}
	if what := left(); what != "shapebus_demo" {
		t.Errorf("left %q, want the schema that was there", what)
	}
}
