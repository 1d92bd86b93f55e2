// Package dbtest is what the tests of package pg and its rooms share: connections, statements,
// roles and slots in the database of a test.
package dbtest

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// Hostile are identifiers that break naive SQL.
var Hostile = []string{`we""ird`, `a.b`, `has space`, `Übergröße 表 🦆`, `select`, `'; DROP TABLE x; --`, `back\slash`, "tab\tnew\nline", `%s $1`}

// Dial connects and closes at the end of the test.
func Dial(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	cfg, err := pg.ParseConfig(url, "test")
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := pg.Connect(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return conn
}

// Exec runs a statement.
func Exec(tb testing.TB, conn *pgx.Conn, sql string, args ...any) {
	tb.Helper()
	if _, err := conn.Exec(tb.Context(), sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// Script runs several statements.
func Script(tb testing.TB, conn *pgx.Conn, sql string) {
	tb.Helper()
	if _, err := conn.PgConn().Exec(tb.Context(), sql).ReadAll(); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// Lookup looks a table up.
func Lookup(tb testing.TB, conn *pgx.Conn, schema, name string, publications ...string) *pg.TableInfo {
	tb.Helper()
	info, err := pg.LookupTable(tb.Context(), conn, schema, name, publications...)
	if err != nil {
		tb.Fatal(err)
	}
	return info
}

// As returns the URL with another user, made with a password and the attributes given.
func As(tb testing.TB, admin *pgx.Conn, rawURL, attributes string) (withUser, role string) {
	tb.Helper()
	role = "r_" + strings.TrimPrefix(admin.Config().Database, "t_")
	Exec(tb, admin, "CREATE ROLE "+pg.Ident(role)+" LOGIN PASSWORD 'secret' "+attributes)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, sql := range []string{"DROP OWNED BY ", "DROP ROLE "} {
			if _, err := admin.Exec(ctx, sql+pg.Ident(role)); err != nil {
				tb.Error(err)
			}
		}
	})
	u, err := url.Parse(rawURL)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.UserPassword(role, "secret")
	return u.String(), role
}

// Eventually waits for a condition in the database.
func Eventually(tb testing.TB, conn *pgx.Conn, what, sql string, args ...any) {
	tb.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var ok bool
		if err := conn.QueryRow(tb.Context(), sql, args...).Scan(&ok); err != nil {
			tb.Fatal(err)
		}
		if ok {
			return
		}
		select {
		case <-deadline:
			tb.Fatalf("did not happen: %s", what)
		case <-tick.C:
		}
	}
}

// Decoded returns the messages of a pgoutput slot and consumes them.
func Decoded(tb testing.TB, conn *pgx.Conn, slot, publication string) []string {
	tb.Helper()
	rows, err := conn.Query(tb.Context(), `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
		'proto_version', '1', 'publication_names', $2, 'messages', 'true')`, slot, pg.Ident(publication))
	if err != nil {
		tb.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		tb.Fatal(err)
	}
	var messages []string
	for _, m := range all {
		messages = append(messages, string(m))
	}
	return messages
}

// SlotName is unique in the cluster.
func SlotName(conn *pgx.Conn) string { return "s_" + conn.Config().Database }

// InPublication reports whether a publication carries a table. One that does not exist carries nothing.
func InPublication(ctx context.Context, conn *pgx.Conn, name string, oid uint32) (bool, error) {
	tables, err := pg.LookupTables(ctx, conn, []uint32{oid}, name)
	t := tables[oid]
	return t != nil && t.Published(name), err
}
