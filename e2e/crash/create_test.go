package crash

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// A shape's snapshot may take long, and checkpoints go on meanwhile. Whoever
// finishes its creation after a crash must give it what came in that time.
func TestConsumerDiesAfterASnapshotDuringWhichALargeTransactionCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start()
	w.consumer.Stop()
	w.startConsumer(failpoint.At(failpoint.AfterSnapshotEntry, 1))
	watch, first, second := w.connect(), w.connect(), w.connect()
	elsewhere := watch.Config()
	database := pgx.Identifier{elsewhere.Database}.Sanitize()
	elsewhere.Database = "template1"
	admin, err := pgx.ConnectConfig(t.Context(), elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	run := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range []*pgx.Conn{admin, watch, first, second} {
		defer conn.Close(context.Background())
	}

	// The shape is created while its snapshot cannot be read: first because
	// it gets no connection, then because two others have the table, of whom
	// the first writes a large transaction and the second keeps the table.
	live := len(w.shapes)
	until(t, "the consumer has a connection for requests", func() (bool, error) {
		_, err := w.client.Create(t.Context(), client.Definition{Table: "items", Where: "nonsense"})
		return strings.Contains(err.Error(), "nonsense"), err
	})
	late := client.Definition{Table: "items", Columns: []string{"id", "flag"}}
	run(admin, "ALTER DATABASE "+database+" ALLOW_CONNECTIONS false")
	w.ask(late)
	const lock = "BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE;"
	run(first, lock)
	locked := make(chan error, 1)
	go func() {
		_, err := second.PgConn().Exec(t.Context(), lock).ReadAll()
		locked <- err
	}()
	awaitLocks(t, watch, 1)
	run(admin, "ALTER DATABASE "+database+" ALLOW_CONNECTIONS true")
	awaitLocks(t, watch, 2)
	run(first, bigSQL(w.big)[len("\n\t\tBEGIN;"):])
	if err := <-locked; err != nil {
		t.Fatal(err)
	}
	w.settleFirst(live)
	t.Logf("the large transaction is in the other shapes; checkpoint at %s", change.LSN(w.checkpoint().LSN))
	run(second, "ROLLBACK")
	w.consumer.DiesAt(failpoint.AfterSnapshotEntry)

	w.startConsumer(nil)
	w.awaitLive()
	w.verify()
}

// awaitLocks waits until so many sessions wait for the table.
func awaitLocks(tb testing.TB, conn *pgx.Conn, n int) {
	tb.Helper()
	until(tb, "sessions wait for the table", func() (bool, error) {
		var waiting int
		err := conn.QueryRow(tb.Context(), `SELECT count(*) FROM pg_locks WHERE relation = 'items'::regclass AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&waiting)
		return waiting >= n, err
	})
}
