package prepare

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// An attempt to lock a table makes the application wait behind it, and that may have a limit of its
// own. So an attempt is short, and others follow after a pause in which the application goes on.
const (
	lockAttempt = 500 * time.Millisecond
	lockPause   = 100 * time.Millisecond
)

// inAttempts calls f, which waits for locks for as long as it is told, until it gets them or the
// time is up.
func inAttempts(ctx context.Context, timeout time.Duration, f func(limit time.Duration) error) error {
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		err := f(min(lockAttempt, left))
		if pg.SQLState(err) != "55P03" || left <= lockAttempt+lockPause {
			return err
		}
		pause := time.NewTimer(lockPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return err
		case <-pause.C:
		}
	}
}

// lockWaits bounds what the statements of one transaction wait for locks, all together: the first
// lock keeps the application waiting while the last one is waited for.
//
// Who waits for a lock and holds another one can be in a deadlock with the application, and Postgres
// ends the first to have waited for deadlock_timeout. That must not be the application, so every lock but
// the first is waited for half as long.
type lockWaits struct {
	deadline time.Time
	holding  bool
}

// run executes statements that take locks; nothing if there are none.
func (w *lockWaits) run(ctx context.Context, tx pgx.Tx, sql string) error {
	if sql == "" {
		return nil
	}
	limit := strconv.FormatInt(max(1, time.Until(w.deadline).Milliseconds()), 10) // 0 would mean no limit
	if w.holding {
		limit = fmt.Sprintf(`least(%s, greatest(1, (SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout') / 2))`, limit)
	}
	w.holding = true
	_, err := tx.Conn().PgConn().Exec(ctx, fmt.Sprintf("SELECT pg_catalog.set_config('lock_timeout', (%s)::text, true); %s", limit, sql)).ReadAll()
	return err
}
