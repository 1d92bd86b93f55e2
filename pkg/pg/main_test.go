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
func dial(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	cfg, err := ParseConfig(url, "test")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// script runs several statements.
func script(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func lookup(t testing.TB, conn *pgx.Conn, schema, name string, publications ...string) *TableInfo {
	t.Helper()
	info, err := LookupTable(t.Context(), conn, schema, name, publications...)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// as returns the URL with another user, made with a password and the attributes given.
func as(t testing.TB, admin *pgx.Conn, rawURL, attributes string) (withUser, role string) {
	t.Helper()
	role = fmt.Sprintf("r_%s", strings.TrimPrefix(admin.Config().Database, "t_"))
	exec(t, admin, "CREATE ROLE "+Ident(role)+" LOGIN PASSWORD 'secret' "+attributes)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, sql := range []string{"DROP OWNED BY ", "DROP ROLE "} {
			if _, err := admin.Exec(ctx, sql+Ident(role)); err != nil {
				t.Error(err)
			}
		}
	})
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "secret")
	return u.String(), role
}

// eventually waits for a condition in the database.
func eventually(t testing.TB, conn *pgx.Conn, what, sql string, args ...any) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var ok bool
		if err := conn.QueryRow(t.Context(), sql, args...).Scan(&ok); err != nil {
			t.Fatal(err)
		}
		if ok {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("did not happen: %s", what)
		case <-tick.C:
		}
	}
}
