package oracle

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// traffic is the sessions that write at the same time.
type traffic struct {
	w      *world
	cancel context.CancelFunc
	wg     sync.WaitGroup
	gate   sync.RWMutex // who has it alone has quiet

	done, failed, hung atomic.Int64
}

// startTraffic starts writers, and sessions whose commits hang.
func (w *world) startTraffic(writers, hangers int) *traffic {
	w.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t := &traffic{w: w, cancel: cancel}
	w.tb.Cleanup(t.stop)
	for i := range writers + hangers {
		load := &workload{rng: rand.New(rand.NewPCG(w.rng.Uint64(), uint64(i))), schema: w.schema}
		if i < writers {
			t.wg.Go(func() { t.write(ctx, load) })
		} else {
			// A commit that changed the catalog, a truncation for instance, must not
			// hang: Postgres notes such a transaction as running though its
			// commit has been decoded, and a slot that starts again there reports
			// "could not map filenode" for ever.
			load.rows = true
			t.wg.Go(func() { t.hang(ctx, load) })
		}
	}
	more := func(i ingredient, run func(context.Context, *workload)) {
		if w.plan.has(i) {
			load := &workload{rng: rand.New(rand.NewPCG(w.rng.Uint64(), 1)), schema: w.schema, rows: true}
			t.wg.Go(func() { run(ctx, load) })
		}
	}
	more(prepared, t.prepare)
	more(toggles, t.toggle)
	return t
}

// stop ends the traffic; no commit hangs any more afterwards.
func (t *traffic) stop() {
	t.cancel()
	t.wg.Wait()
}

// session opens a connection, again if the one there is has gone.
func (t *traffic) session(ctx context.Context, conn *pgx.Conn) *pgx.Conn {
	if conn != nil && !conn.IsClosed() {
		return conn
	}
	conn, err := t.w.dial(ctx)
	if err != nil {
		return nil
	}
	if _, err = conn.Exec(ctx, "SET lock_timeout = '300ms'"); err != nil {
		_ = conn.Close(context.WithoutCancel(ctx)) // it is of no use
		return nil
	}
	return conn
}

func (t *traffic) write(ctx context.Context, load *workload) {
	var conn *pgx.Conn
	defer func() { closeConn(ctx, conn) }()
	for pause(ctx, load.rng, 30*time.Millisecond) {
		if conn = t.session(ctx, conn); conn == nil {
			continue
		}
		t.run(ctx, conn, load.transaction())
	}
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	if conn != nil {
		_ = conn.Close(context.WithoutCancel(ctx)) // nothing is open on it
	}
}

// run runs a script that is one transaction. A transaction that failed is over.
func (t *traffic) run(ctx context.Context, conn *pgx.Conn, script string) {
	_ = t.try(ctx, conn, script) // it is counted
}

// try is run for whoever has to know what came of it.
func (t *traffic) try(ctx context.Context, conn *pgx.Conn, script string) error {
	// The session outlives ctx: a cancelled statement would leave its fate open.
	ctx = context.WithoutCancel(ctx)
	t.gate.RLock()
	defer t.gate.RUnlock()
	if _, err := conn.PgConn().Exec(ctx, script).ReadAll(); err != nil {
		t.failed.Add(1)
		_, _ = conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll() // a broken connection is replaced
		return err
	}
	t.done.Add(1)
	return nil
}

// hang runs transactions whose commits wait for a standby that does not exist:
// they stand in the WAL and are decoded, and no snapshot sees them, until the
// wait is cancelled, as a standby's answer would end it.
func (t *traffic) hang(ctx context.Context, load *workload) {
	var conn, other *pgx.Conn
	defer func() { closeConn(ctx, conn); closeConn(ctx, other) }()
	for pause(ctx, load.rng, 1500*time.Millisecond) {
		if conn, other = t.session(ctx, conn), t.session(ctx, other); conn == nil || other == nil {
			continue
		}
		pid := conn.PgConn().PID()
		script := "SET synchronous_commit = on;" + load.transaction()
		over := make(chan struct{})
		go func() {
			defer close(over)
			t.run(ctx, conn, script)
		}()
		pause(ctx, load.rng, 900*time.Millisecond)
		t.release(context.WithoutCancel(ctx), other, pid, over)
	}
}

// release cancels the wait of a session until it is over.
func (t *traffic) release(ctx context.Context, conn *pgx.Conn, pid uint32, over chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for first := true; ; first = false {
		var waits bool
		if err := conn.QueryRow(ctx, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'`, pid).Scan(&waits); err == nil && first {
			t.hung.Add(1)
		}
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

// pause lets things happen for a random time, and reports whether to go on.
func pause(ctx context.Context, rng *rand.Rand, upTo time.Duration) bool {
	timer := time.NewTimer(time.Duration(rng.Int64N(int64(upTo))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
