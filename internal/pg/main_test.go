package pg

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// hostile are identifiers that break naive SQL.
var hostile = []string{`we""ird`, `a.b`, `has space`, `Übergröße 表 🦆`, `select`, `'; DROP TABLE x; --`, `back\slash`, "tab\tnew\nline", `%s $1`}

// dial connects and closes at the end of the test.
func dial(tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	cfg, err := ParseConfig(url, "test")
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := Connect(tb.Context(), cfg)
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

func exec(tb testing.TB, conn *pgx.Conn, sql string, args ...any) {
	tb.Helper()
	if _, err := conn.Exec(tb.Context(), sql, args...); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

// script runs several statements.
func script(tb testing.TB, conn *pgx.Conn, sql string) {
	tb.Helper()
	if _, err := conn.PgConn().Exec(tb.Context(), sql).ReadAll(); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
}

func lookup(tb testing.TB, conn *pgx.Conn, schema, name string, publications ...string) *TableInfo {
	tb.Helper()
	info, err := LookupTable(tb.Context(), conn, schema, name, publications...)
	if err != nil {
		tb.Fatal(err)
	}
	return info
}

// as returns the URL with another user, made with a password and the attributes given.
func as(tb testing.TB, admin *pgx.Conn, rawURL, attributes string) (withUser, role string) {
	tb.Helper()
	role = fmt.Sprintf("r_%s", strings.TrimPrefix(admin.Config().Database, "t_"))
	exec(tb, admin, "CREATE ROLE "+Ident(role)+" LOGIN PASSWORD 'secret' "+attributes)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, sql := range []string{"DROP OWNED BY ", "DROP ROLE "} {
			if _, err := admin.Exec(ctx, sql+Ident(role)); err != nil {
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

// eventually waits for a condition in the database.
func eventually(tb testing.TB, conn *pgx.Conn, what, sql string, args ...any) {
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
