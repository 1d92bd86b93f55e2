package pgtest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	// Not t.Context(), which has ended by then.
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestDatabase(t *testing.T) {
	var url, name string
	t.Run("each test gets an empty database", func(t *testing.T) {
		url = pgtest.Database(t)
		if other := pgtest.Database(t); other == url {
			t.Fatalf("two databases have the same URL %s", url)
		}
		conn := connect(t, url)
		var tables int
		err := conn.QueryRow(t.Context(), "SELECT count(*), current_database() FROM pg_tables WHERE schemaname = 'public'").Scan(&tables, &name)
		if err != nil || tables != 0 {
			t.Fatalf("%d tables in a new database, %v", tables, err)
		}
		// Left behind on purpose: a slot, one in use, and a connection, none of which may keep the database alive.
		if _, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot('idle_of_' || current_database(), 'pgoutput')"); err != nil {
			t.Fatal(err)
		}
		holdSlot(t, url, "held_of_"+name)
	})
	t.Run("which is gone afterwards with its slots and connections", func(t *testing.T) {
		conn := connect(t, pgtest.Server(t).URL("postgres"))
		var left int
		err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_database WHERE datname = $1) +
			(SELECT count(*) FROM pg_replication_slots WHERE database = $1)`, name).Scan(&left)
		if err != nil || left != 0 {
			t.Fatalf("%d databases and slots of %s left, %v", left, name, err)
		}
	})
}

// holdSlot makes a slot and streams from it until the connection is cut by the server.
func holdSlot(t *testing.T, url, slot string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["replication"] = "database"
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	pg := conn.PgConn()
	if _, err := pg.Exec(t.Context(), "CREATE_REPLICATION_SLOT "+slot+" LOGICAL pgoutput").ReadAll(); err != nil {
		t.Fatal(err)
	}
	start := "START_REPLICATION SLOT " + slot + " LOGICAL 0/0 (proto_version '1', publication_names 'none')"
	pg.Frontend().SendQuery(&pgproto3.Query{String: start})
	if err := pg.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := pg.ReceiveMessage(t.Context()); err != nil { // CopyBothResponse: the slot is taken
		t.Fatal(err)
	}
}
