package crash

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestNATSDiesAndEveryLogContinues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start()
	w.traffic.run()
	w.traffic.some(20)

	before := w.changes().LastSeq
	w.bigTransaction()
	w.awaitChanges(before + 20 + w.rng.Uint64N(80))
	w.killNATS("while ingest publishes a large transaction")
	w.awaitOpen(0)
	w.killNATS("while the consumer appends it")
	w.pause(1500 * time.Millisecond)
	w.killNATS("at any moment")
	w.traffic.some(50)
	w.verify()
}

func (w *world) killNATS(when string) {
	w.tb.Helper()
	w.nats.Proc.Kill()
	w.tb.Logf("NATS was killed %s", when)
	w.nats.start()
}

// awaitChanges waits until the change log has a message of that sequence.
func (w *world) awaitChanges(seq uint64) {
	w.tb.Helper()
	untilSoon(w.tb, fmt.Sprintf("the change log has message %d", seq), func() (bool, error) { return w.changes().LastSeq >= seq, nil })
}

// awaitOpen waits until the n-th shape's log ends inside a transaction.
func (w *world) awaitOpen(n int) {
	w.tb.Helper()
	untilSoon(w.tb, fmt.Sprintf("the log of shape %d ends inside a transaction", n), func() (bool, error) { return w.tail(n).Open(), nil })
}

// pause lets things happen for a random time, which is the point of it.
func (w *world) pause(upTo time.Duration) {
	time.Sleep(time.Duration(w.rng.Int64N(int64(upTo))))
}

func TestPostgresDiesAndEveryLogContinues(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{ownPostgres: true})
	w.start()
	w.traffic.run()
	w.traffic.some(20)

	t.Log("in the middle of writing a large transaction, which is gone then")
	w.with(func(ctx context.Context, conn *pgx.Conn) error {
		sql := bigSQL(w.big)
		_, err := conn.PgConn().Exec(ctx, sql[:len(sql)-len("COMMIT;")]).ReadAll()
		if err == nil {
			w.killPostgres(ctx, nil)
		}
		return err
	})

	t.Log("while ingest reads a large transaction")
	w.traffic.stop()
	for open, tries := false, 10; !open; tries-- {
		if tries == 0 {
			t.Fatal("each large transaction was over when Postgres died; the fault is to come in its middle")
		}
		w.settle()
		before := w.changes().LastSeq
		w.bigTransaction()
		w.awaitChanges(before + 10 + w.rng.Uint64N(80))
		w.killPostgres(t.Context(), func() { open = w.audit(1).open() })
	}
	w.traffic.run()
	w.traffic.some(20)

	t.Log("right after a commit")
	w.exec("BEGIN; INSERT INTO items VALUES (-7, 3, 'just in time', true); INSERT INTO notes VALUES ('ann', 'just in time'); COMMIT")
	w.killPostgres(t.Context(), nil)
	w.with(func(ctx context.Context, conn *pgx.Conn) error {
		var n int
		err := conn.QueryRow(ctx, "SELECT count(*) FROM items WHERE id = -7").Scan(&n)
		if err == nil && n != 1 {
			t.Error("Postgres itself has lost the commit; this test tests nothing then")
		}
		return err
	})
	w.traffic.some(50)
	w.verify()
}

// killPostgres kills the whole server, does something, and starts it again.
func (w *world) killPostgres(ctx context.Context, meanwhile func()) {
	w.tb.Helper()
	if err := w.pg.Kill(); err != nil {
		w.tb.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile()
	}
	if err := w.pg.Restart(ctx); err != nil {
		w.tb.Fatal(err)
	}
}
