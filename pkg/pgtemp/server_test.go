package pgtemp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/pgtemp"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// orphanTest makes this test binary a program that starts a server, says where, and waits to be killed.
const orphanTest = "PGTEMP_TEST_START_AND_WAIT"

func TestMain(m *testing.M) {
	if os.Getenv(orphanTest) != "" {
		s, err := pgtemp.Start(context.Background(), pgtemp.Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("runs at", s.URL("postgres"))
		select {}
	}
	os.Exit(pgtest.Main(m))
}

func connect(t *testing.T, s *pgtemp.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func count(t *testing.T, conn *pgx.Conn, sql string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func TestServer(t *testing.T) {
	s := pgtest.Server(t)

	t.Run("has the settings that logical replication and fast tests need", func(t *testing.T) {
		conn := connect(t, s)
		for name, want := range map[string]string{
			"wal_level": "logical", "fsync": "off", "synchronous_commit": "on", "max_replication_slots": "20",
			"max_wal_senders": "20", "TimeZone": "UTC", "server_encoding": "UTF8", "unix_socket_directories": "",
		} {
			var got string
			if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q (%v), want %q", name, got, err, want)
			}
		}
	})

	t.Run("knows its version and process", func(t *testing.T) {
		conn := connect(t, s)
		if got := count(t, conn, "SELECT current_setting('server_version_num')::int / 10000"); got != s.Version() {
			t.Errorf("Version() is %d, the server says %d", s.Version(), got)
		}
		if s.PID() == 0 {
			t.Error("PID() is 0 while the server runs")
		}
	})

	t.Run("creates databases whatever their names", func(t *testing.T) {
		const name = `Ünusual "name"/?#`
		if err := s.CreateDatabase(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), s.URL(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.CreateDatabase(t.Context(), name); err == nil || !strings.Contains(err.Error(), "already exists") {
			t.Errorf("creating it again: %v", err)
		}
	})
}

func TestKillAndRestart(t *testing.T) {
	s := pgtest.Own(t, map[string]string{"max_wal_senders": "3"})
	conn := connect(t, s)
	if got := count(t, conn, "SELECT current_setting('max_wal_senders')::int"); got != 3 {
		t.Fatalf("a setting of the caller was ignored: max_wal_senders is %d", got)
	}
	execute(t, conn, "CREATE TABLE kept (id int)")
	execute(t, conn, "INSERT INTO kept SELECT generate_series(1, 1000)")
	execute(t, conn, "BEGIN")
	execute(t, conn, "INSERT INTO kept VALUES (0)")
	before, url := s.PID(), s.URL("postgres")

	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if s.PID() != 0 {
		t.Errorf("process %d runs after Kill", s.PID())
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection from before outlived Kill: a child of the server was missed")
	}
	if err := s.Kill(); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("killing it again: %v", err)
	}

	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.PID() == before || s.PID() == 0 || s.URL("postgres") != url {
		t.Errorf("after Restart: process %d (before %d), %s (before %s)", s.PID(), before, s.URL("postgres"), url)
	}
	conn = connect(t, s)
	if got := count(t, conn, "SELECT count(*) FROM kept"); got != 1000 {
		t.Errorf("%d rows after the crash, want the 1000 that were committed", got)
	}

	if err := s.Restart(t.Context()); err != nil {
		t.Fatalf("restart of a running server: %v", err)
	}
	if got := count(t, connect(t, s), "SELECT count(*) FROM kept"); got != 1000 {
		t.Errorf("%d rows after an orderly restart, want 1000", got)
	}
}

func TestDirectories(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Postgres; not in -short")
	}
	t.Run("a temporary one goes with the server", func(t *testing.T) {
		t.Setenv("TMPDIR", shared(t))
		s, err := pgtemp.Start(t.Context(), pgtemp.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
		if err := s.Restart(t.Context()); err == nil {
			t.Error("Restart after Stop succeeded")
		}
		if left, err := filepath.Glob(os.Getenv("TMPDIR") + "/*"); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
	t.Run("one that the caller named stays and is taken up again", func(t *testing.T) {
		opts := pgtemp.Options{Dir: filepath.Join(shared(t), "named")}
		for run := range 2 {
			s, err := pgtemp.Start(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			conn := connect(t, s)
			execute(t, conn, "CREATE TABLE IF NOT EXISTS runs (run int)")
			if got := count(t, conn, "SELECT count(*) FROM runs"); got != run {
				t.Errorf("run %d found %d rows", run, got)
			}
			execute(t, conn, "INSERT INTO runs VALUES (0)")
			if err := s.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("one whose first start was killed is made by the next", func(t *testing.T) {
		opts := pgtemp.Options{Dir: filepath.Join(shared(t), "named"), BinDir: binariesThatDie(t)}
		if _, err := pgtemp.Start(t.Context(), opts); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("with an initdb that is killed: %v", err)
		}
		opts.BinDir = ""
		s, err := pgtemp.Start(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := filepath.Glob(opts.Dir + "/*"); err != nil || len(left) != 1 {
			t.Errorf("beside the data: %v %v", left, err)
		}
	})
	t.Run("one whose process was killed is removed by the next start", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("only Linux ends the server with its process")
		}
		t.Setenv("TMPDIR", shared(t))
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), orphanTest+"=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		url, ok := strings.CutPrefix(strings.TrimSpace(line), "runs at ")
		if err := errors.Join(err, cmd.Process.Kill()); err != nil || !ok {
			t.Fatalf("the other process said %q, %v", line, err)
		}
		_ = cmd.Wait() // says that it was killed
		for tick := time.Tick(10 * time.Millisecond); ; <-tick {
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				break // its server is gone or going
			}
			_ = conn.Close(t.Context())
		}
		left := func() []string {
			s, err := pgtemp.Start(t.Context(), pgtemp.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			dirs, err := filepath.Glob(os.Getenv("TMPDIR") + "/*")
			if err != nil {
				t.Fatal(err)
			}
			return dirs
		}
		for range 10 { // its last children may need longer than one start takes
			if len(left()) == 0 {
				return
			}
		}
		t.Errorf("left behind: %v", left())
	})
	t.Run("and none is left when the server cannot start", func(t *testing.T) {
		t.Setenv("TMPDIR", shared(t))
		_, err := pgtemp.Start(t.Context(), pgtemp.Options{Settings: map[string]string{"wal_level": "nonsense"}})
		if err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("a bad setting gives %v, want what the server said about it", err)
		}
		if left, err := filepath.Glob(os.Getenv("TMPDIR") + "/*"); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	})
}

// binariesThatDie is a directory with an initdb that is killed after its first file, as by a Ctrl-C during the first start.
func binariesThatDie(t *testing.T) string {
	t.Helper()
	dir := shared(t)
	for name, script := range map[string]string{
		"initdb":   `echo 17 >"$2/PG_VERSION"; kill -9 $$`, // called with -D and the directory first
		"postgres": `echo "postgres (PostgreSQL) 17.0"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shared is a temporary directory that other users can enter, as the server of a root user must.
func shared(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
