package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// traffic writes small transactions on both tables while other things happen.
// It lives through deaths of Postgres; what it does not know the fate of, the
// SELECT of the verdict does.
type traffic struct {
	tb     testing.TB
	url    string
	rng    *rand.Rand
	done   atomic.Int64
	failed atomic.Int64
	more   func(*rand.Rand) string // statements for other tables; nil for none. Set before it runs

	mu     sync.Mutex
	cancel context.CancelFunc // nil while it rests
	ended  chan struct{}
}

func newTraffic(tb testing.TB, url string, seed uint64) *traffic {
	tb.Helper()
	t := &traffic{tb: tb, url: url, rng: rand.New(rand.NewPCG(seed, 1))}
	tb.Cleanup(t.stop)
	return t
}

// run starts it, or does nothing if it runs.
func (t *traffic) run() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.ended = cancel, make(chan struct{})
	go func() {
		defer close(t.ended)
		t.write(ctx)
	}()
}

// stop ends it and returns when its last transaction is over.
func (t *traffic) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel == nil {
		return
	}
	t.cancel()
	<-t.ended
	t.cancel = nil
}

// some waits until that many more transactions are committed.
func (t *traffic) some(n int64) {
	t.tb.Helper()
	goal := t.done.Load() + n
	until(t.tb, fmt.Sprintf("%d more small transactions are committed", n), func() (bool, error) { return t.done.Load() >= goal, nil })
}

func (t *traffic) write(ctx context.Context) {
	cfg, err := pgx.ParseConfig(t.url)
	if err != nil {
		t.tb.Error(err)
		return
	}
	cfg.RuntimeParams["enable_seqscan"] = "off" // small transactions stay small beside the rows of large ones
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // everything on it is done
		}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if conn == nil || conn.IsClosed() {
			if conn, err = pgx.ConnectConfig(ctx, cfg); err != nil {
				conn = nil
				continue
			}
		}
		if _, err = conn.Exec(ctx, t.transaction()); err != nil {
			t.failed.Add(1)
			_ = conn.Close(context.WithoutCancel(ctx)) // it is of no use any more
			continue
		}
		t.done.Add(1)
	}
}

// transaction is a script that is one transaction.
func (t *traffic) transaction() string {
	var b strings.Builder
	b.WriteString("BEGIN;")
	for range 1 + t.rng.IntN(4) {
		b.WriteString(t.statement())
		if t.more != nil {
			b.WriteString(t.more(t.rng))
		}
	}
	b.WriteString("COMMIT;")
	return b.String()
}

func (t *traffic) statement() string {
	id, kind, flag := t.rng.IntN(500), t.rng.IntN(7), t.rng.IntN(2) == 0
	author := []string{"ann", "bob", "cy"}[t.rng.IntN(3)]
	switch t.rng.IntN(9) {
	case 0, 1, 2:
		return fmt.Sprintf("INSERT INTO items VALUES (%d, %d, 'item %d', %t) ON CONFLICT (id) DO UPDATE SET kind = %d, flag = %t;", id, kind, id, flag, kind, flag)
	case 3: // a changed key is a delete and an insert
		return fmt.Sprintf("UPDATE items SET id = 1000 + (SELECT max(id) FROM items WHERE id < 100000) WHERE id = %d;", id)
	case 4:
		return fmt.Sprintf("DELETE FROM items WHERE id %% 97 = %d AND id < 100000;", t.rng.IntN(97))
	case 5, 6: // equal rows, which only their number tells apart
		return fmt.Sprintf("INSERT INTO notes VALUES ('%s', 'note %d'), ('%s', 'note %d');", author, id%10, author, id%10)
	case 7:
		return fmt.Sprintf("UPDATE notes SET author = '%s' WHERE ctid = (SELECT ctid FROM notes WHERE body NOT LIKE 'big%%' LIMIT 1);", author)
	default:
		return fmt.Sprintf("SAVEPOINT s; INSERT INTO items SELECT g, 3, 'never', true FROM generate_series(-%d, -1) g; ROLLBACK TO s;"+
			"DELETE FROM notes WHERE ctid = (SELECT ctid FROM notes WHERE author = '%s' AND body NOT LIKE 'big%%' LIMIT 1);", 1+id%5, author)
	}
}

// bigRows is how many rows a large transaction writes.
const bigRows = 50_000

// bigSQL is one transaction of bigRows rows on both tables, with rows that
// come and change and come and go. n keeps its ids apart from other ones'.
func bigSQL(n int64) string {
	base := 1_000_000 * (n + 1)
	return fmt.Sprintf(`
		BEGIN;
		INSERT INTO items SELECT %[1]d + g, g %% 7, 'big ' || g, g %% 3 = 0 FROM generate_series(0, 17499) g;
		INSERT INTO notes SELECT CASE WHEN g %% 2 = 0 THEN 'ann' ELSE 'bob' END, 'big ' || g %% 1000 FROM generate_series(1, 5000) g;
		INSERT INTO items SELECT %[1]d + g, g %% 7, 'big ' || g, g %% 3 = 0 FROM generate_series(17500, 34999) g;
		UPDATE items SET kind = (kind + 1) %% 7, flag = NOT flag WHERE id BETWEEN %[1]d AND %[1]d + 7499;
		DELETE FROM items WHERE id BETWEEN %[1]d + 25000 AND %[1]d + 27499;
		COMMIT;`, base)
}

// bigTransaction commits one.
func (w *world) bigTransaction() {
	w.tb.Helper()
	began := time.Now()
	w.exec(bigSQL(w.big))
	w.big++
	w.tb.Logf("a transaction of %d rows is committed after %s", bigRows, time.Since(began).Round(time.Millisecond))
}
