package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
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
		fault demoFault
		want  []string
	}{
		{faultLostChange, []string{"✗ every transaction came to one project's tasks whole and once: transaction ", "checks failed: "}},
		{faultStrayRow, []string{"✗ the copy of urgent open tasks equals its SELECT: 1 wrong row: 1 row too many", "checks failed: the copy of urgent open tasks equals its SELECT"}},
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
			SELECT pubname FROM pg_publication UNION ALL SELECT slot_name FROM pg_replication_slots) x WHERE n LIKE 'shapebus%'`).Scan(&what)
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
		"CREATE SCHEMA shapebus_demo", "COMMENT ON SCHEMA shapebus_demo IS '" + schemaMark + "'", "CREATE TABLE shapebus_demo.tasks (id int)",
		"CREATE PUBLICATION " + demoPublication, "SELECT pg_create_logical_replication_slot('" + demoSlot + "', 'pgoutput')",
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

func TestDemoCopyJudgesWhatComes(t *testing.T) {
	at := func(lsn change.LSN, op uint64) change.Offset { return change.Offset{LSN: lsn, Op: op} }
	gone := func(o change.Offset) client.Change { return client.Change{Kind: change.Truncate, Offset: o} }
	whole := []client.Event{
		client.Begin{Snapshot: true},
		client.Commit{Snapshot: true},
		client.Begin{XID: 7},
		gone(at(10, 2)), gone(at(10, 4)),
		client.Commit{XID: 7, Offset: at(10, 6), Changes: 2},
		client.Begin{XID: 9},
		gone(at(12, 2)),
		client.Commit{XID: 9, Offset: at(12, 4), Changes: 1},
	}
	for _, c := range []struct {
		name                string
		events              []client.Event
		ledger              map[uint32]uint64
		order, transactions string // contained in what is wrong; "" for nothing
	}{
		{"what the database wrote is right", whole, map[uint32]uint64{7: 2, 9: 1}, "", ""},
		{"half a transaction is not", whole, map[uint32]uint64{7: 3, 9: 1}, "", "transaction 7 came with 2 changes, the database wrote 3"},
		{"a transaction may not be missing", whole, map[uint32]uint64{7: 2, 8: 5, 9: 1}, "", "transaction 8 of 5 changes never came"},
		{"a transaction may not be invented", whole, map[uint32]uint64{7: 2}, "", "transaction 9 came with 1 change, the database wrote none"},
		{"a transaction may not come twice", append(slices.Clip(whole),
			client.Begin{XID: 9}, gone(at(14, 2)), client.Commit{XID: 9, Offset: at(14, 4), Changes: 1}), map[uint32]uint64{7: 2, 9: 1}, "", "transaction 9 came twice"},
		{"a unit may be taken back, and come again", append(slices.Clip(whole),
			client.Begin{XID: 10, Unit: true}, gone(at(13, 2)), client.Abort{Offset: at(12, 4)},
			client.Begin{XID: 10, Unit: true}, gone(at(13, 2)), client.Commit{XID: 11, Unit: true, Offset: at(14, 4), Changes: 1}), map[uint32]uint64{7: 2, 9: 1}, "", ""},
		{"but not to somewhere else", append(slices.Clip(whole),
			client.Begin{XID: 10, Unit: true}, gone(at(13, 2)), client.Abort{Offset: at(10, 6)}), map[uint32]uint64{7: 2, 9: 1}, "", "a unit is taken back to 10_6, the last commit was 12_4"},
		{"offsets may not repeat", append(slices.Clip(whole),
			client.Begin{XID: 11}, gone(at(12, 4)), client.Commit{XID: 11, Offset: at(14, 4), Changes: 1}), map[uint32]uint64{7: 2, 9: 1, 11: 1}, "offset 12_4 after 12_4", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			copied := newDemoCopy()
			copied.units = &demoToggles{}
			for _, e := range c.events {
				copied.take(e, time.Now())
			}
			order, transactions := copied.problems(c.ledger)
			if order != c.order || transactions != c.transactions {
				t.Errorf("order %q, transactions %q; want %q and %q", order, transactions, c.order, c.transactions)
			}
		})
	}
}

func TestDemoCopyUndoesWhatIsTakenBack(t *testing.T) {
	c := newDemoCopy()
	c.units = &demoToggles{}
	c.rows[1], c.rows[2] = 11, 22
	c.take(client.Begin{Unit: true}, time.Now())
	c.take(client.Change{Kind: change.Truncate, Offset: change.Offset{LSN: 9}}, time.Now())
	if len(c.rows) != 0 {
		t.Errorf("rows %v", c.rows)
	}
	c.take(client.Abort{}, time.Now())
	if want := map[int64]uint64{1: 11, 2: 22}; !maps.Equal(c.rows, want) {
		t.Errorf("rows %v, want %v", c.rows, want)
	}
}

func TestDemoCopyTellsWhichRowsDiffer(t *testing.T) {
	row := func(values ...string) change.Row {
		var r change.Row
		for _, v := range values {
			r = append(r, []byte(v))
		}
		return r
	}
	c := newDemoCopy()
	c.rows[1], c.rows[2], c.rows[3] = c.digestOf(row("1", "a")), c.digestOf(row("2", "b")), c.digestOf(row("3", ""))
	for _, test := range []struct {
		want string
		rows []change.Row
	}{
		{"", []change.Row{row("1", "a"), row("2", "b"), row("3", "")}},
		{"1 wrong row: row 2 differs", []change.Row{row("1", "a"), row("2", "B"), row("3", "")}},
		{"1 wrong row: row 3 differs", []change.Row{row("1", "a"), row("2", "b"), {[]byte("3"), nil}}},
		{"1 wrong row: row 4 is missing", []change.Row{row("1", "a"), row("2", "b"), row("3", ""), row("4", "d")}},
		{"1 wrong row: 1 row too many", []change.Row{row("1", "a"), row("2", "b")}},
	} {
		got, err := c.compare(func(f func(change.Row)) error {
			for _, r := range test.rows {
				f(r)
			}
			return nil
		})
		if got != test.want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, test.want)
		}
	}
}

func TestDemoBoardFitsTheTerminal(t *testing.T) {
	b := demoBoard{
		shapes: []boardRow{{"support's comments, 30 days", "1,234,567", "12,345", "6,789", "+ 17 Wäre das nicht schön? " + strings.Repeat("é", 80)}},
		source: strings.Repeat("source ", 30), memory: strings.Repeat("memory ", 30),
	}
	for _, width := range []int{1, 20, 79, 200} {
		for _, line := range boardLines(b, "one transaction of 1,000,000 rows is being written", width, palette{}) {
			if n := utf8.RuneCountInString(line); n > max(width, 2) {
				t.Errorf("%d columns on a terminal of %d: %q", n, width, line)
			}
		}
	}
}
