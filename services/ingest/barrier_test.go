package ingest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
)

// A message that is not transactional stands where it was emitted, whatever transactions are open
// then. The record of a commit may begin exactly where the message's ends.
func TestBarriersOutsideOfTransactions(t *testing.T) {
	const message = "SELECT pg_logical_emit_message(false, 'shapebus', '%s')"
	prepare := func(t *testing.T) *bench {
		t.Helper()
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		return b
	}
	// write has a transaction end right behind a message of its own, and another one that is
	// open over all of it.
	write := func(b *bench) (want []string) {
		b.t.Helper()
		open := b.connect()
		in := func(sql string) {
			b.t.Helper()
			if _, err := open.Exec(b.t.Context(), sql); err != nil {
				b.t.Fatal(err)
			}
		}
		in("BEGIN; INSERT INTO t VALUES (100)")
		in(fmt.Sprintf(message, "inside of one that ends later"))
		want = append(want, "barrier inside of one that ends later")
		for i := range 3 {
			b.transaction(fmt.Sprintf("INSERT INTO t VALUES (%d); "+message, i, fmt.Sprint("right before the commit of ", i)))
			want = append(want, fmt.Sprint("barrier right before the commit of ", i), fmt.Sprintf("t 0 insert new (%d)", i), "t commit 2")
		}
		b.exec("BEGIN READ ONLY")
		b.exec(fmt.Sprintf(message, "read only"))
		b.exec("ROLLBACK")
		in("COMMIT")
		return append(want, "barrier read only", "t 0 insert new (100)", "t commit 2")
	}
	t.Run("stand before what commits behind them", func(t *testing.T) {
		b := prepare(t)
		b.start()
		want := write(b)
		b.expect(want...)
	})
	t.Run("are there once, however often ingest ends right behind a message", func(t *testing.T) {
		b := prepare(t)
		b.start().stop()
		want := write(b)
		for range 4 {
			var r *running
			started, died := make(chan struct{}), make(chan struct{})
			var published atomic.Int32
			r = b.start(func(cfg *Config) {
				cfg.Failpoint = func(p failpoint.Point) {
					if p == failpoint.AfterPublish && published.Add(1) == 1 {
						<-started
						r.cancel()
						close(died)
					}
				}
			})
			close(started)
			select {
			case <-died:
				<-r.done
			case <-time.After(patience):
				t.Fatal("nothing more is published")
			}
		}
		b.start()
		b.expect(want...)
	})
}
