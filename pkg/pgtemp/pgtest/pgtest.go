// Package pgtest gives tests a real Postgres: one server for a whole test binary with a fresh database for each test, or a server
// of its own for a test that kills it.
//
// A package that uses it says so once:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// Under `go test -short` the tests that ask for Postgres are skipped. For no other reason: where there is no Postgres they
// fail and say what to install. Nothing here is for use outside tests.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/pgtemp"
)

// patience bounds what a cleanup waits for.
const patience = 30 * time.Second

// The server of this test binary. It is package state because a test binary is what it belongs to: tests of one package
// have nothing else in common that could carry it.
var shared struct {
	mu     sync.Mutex
	main   bool
	server *pgtemp.Server
	err    error
}

// Main runs the tests of a package and then stops the shared server, if one was started. It returns the exit code for os.Exit;
// a server that does not stop fails an otherwise good run.
func Main(m *testing.M) int {
	shared.mu.Lock()
	shared.main = true
	shared.mu.Unlock()
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := shared.server.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// Server is the server that all tests of this test binary share, started when it is first asked for. Do not stop or kill
// it; see Own.
func Server(tb testing.TB) *pgtemp.Server {
	tb.Helper()
	skipIfShort(tb)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.main {
		tb.Fatal("nobody would stop the Postgres server of this test binary: " +
			"add to the package's tests `func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }`")
	}
	if shared.server == nil && shared.err == nil {
		// Tests that run at the same time share it, and a consumer alone may take 28 connections.
		shared.server, shared.err = pgtemp.Start(context.Background(), pgtemp.Options{Settings: small(map[string]string{"max_connections": "300"})})
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}

// Database is the URL of a new, empty database on the shared server. When the test ends, its connections are cut, its
// replication slots dropped, and it is dropped too.
func Database(tb testing.TB) string {
	tb.Helper()
	server := Server(tb)
	name := "t_" + strconv.FormatUint(rand.Uint64(), 36)
	if err := server.CreateDatabase(tb.Context(), name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := drop(ctx, server, name); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return server.URL(name)
}

// Own is a server for this test alone, for tests that kill it or need other settings (see [pgtemp.Options.Settings], may be nil).
// It is stopped when the test ends. If the test failed, the end of the server's log is in the test's output.
func Own(tb testing.TB, settings map[string]string) *pgtemp.Server {
	tb.Helper()
	skipIfShort(tb)
	server, err := pgtemp.Start(tb.Context(), pgtemp.Options{Settings: small(settings)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			tb.Error(err)
		}
	})
	return server
}

// small adds what makes sessions cheap that live for moments, unless settings say otherwise: each has to map the shared buffers that it
// touches, and compiles whatever looks dear.
func small(settings map[string]string) map[string]string {
	all := map[string]string{"shared_buffers": "16MB", "jit": "off"}
	maps.Copy(all, settings)
	return all
}

func skipIfShort(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs Postgres; not in -short")
	}
}

// drop removes a database that may still be in use. New connections are refused first, or a client that reconnects could
// take its slot again between any two of the later steps.
func drop(ctx context.Context, server *pgtemp.Server, name string) (err error) {
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	quoted := pgx.Identifier{name}.Sanitize()
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+quoted+" ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := endSlots(ctx, conn, name)
		if err != nil {
			return err
		}
		if left == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d replication slots of %s are still in use: %w", left, name, ctx.Err())
		case <-tick.C:
		}
	}
	_, err = conn.Exec(ctx, "DROP DATABASE "+quoted+" WITH (FORCE)")
	return err
}

// endSlots cuts the connections to a database, drops those of its slots that nobody holds, and says how many are left.
func endSlots(ctx context.Context, conn *pgx.Conn, name string) (left int, err error) {
	for _, sql := range []string{
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1",
		"SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots WHERE database = $1 AND NOT active",
		"SELECT count(*) FROM pg_replication_slots WHERE database = $1",
	} {
		if err := conn.QueryRow(ctx, sql, name).Scan(&left); err != nil {
			return 0, err
		}
	}
	return left, nil
}
