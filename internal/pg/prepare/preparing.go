package prepare

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// preparingLock is an advisory lock of the database for each table: whoever prepares a table or gives
// it back has it, from before what is noted about the table until what is done to it is committed.
const preparingLock = int64(0x53686270) << 32 // "Shbp"

// slotLock is an advisory lock of the database: whoever makes a slot has it alone, those who prepare
// tables share it. There is one for all publications: sources may share a table.
const slotLock = int64(0x53686273) << 32 // "Shbs"

// Preparing runs f while nobody else prepares the table or gives it back, and no source of the database
// makes its slot; see WithoutPreparing. conn must not be in a transaction.
//
// Postgres ends the session if f keeps it idle for a minute: the locks of a process that is frozen hold up nobody for longer.
//
// Errors: *LockedError when somebody did not end in time; one that may be tried again when it is a slot
// that is not there in time; those of f.
func Preparing(ctx context.Context, conn *pgx.Conn, t *pg.TableInfo, timeout time.Duration, f func() error) error {
	timeout = max(timeout, time.Millisecond) // 0 would mean no limit
	restore, err := sessionEndsIfSilent(ctx, conn)
	if err != nil {
		return fmt.Errorf("prepare table %s: %w", t, err)
	}
	defer restore()
	unlockSlot, err := lock(ctx, conn, timeout, "_shared", strconv.FormatInt(slotLock, 10))
	if pg.SQLState(err) == lockTimedOut {
		return fmt.Errorf("table %s cannot be prepared while a replication slot is being made, which waits for the transactions that are writing; "+
			"nothing was changed: try again, or end those that stay open (SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL): %w", t, err)
	}
	if err != nil {
		return fmt.Errorf("prepare table %s: %w", t, err)
	}
	defer unlockSlot()
	unlock, err := lock(ctx, conn, timeout, "", strconv.FormatInt(preparingLock|int64(t.Relation.OID), 10))
	if pg.SQLState(err) == lockTimedOut {
		return &pg.LockedError{Table: t.String(), Timeout: timeout, Holders: []string{"another process of Shapebus prepares it or gives it back"}, Err: err}
	}
	if err != nil {
		return fmt.Errorf("prepare table %s: %w", t, err)
	}
	defer unlock()
	return f()
}

// WithoutPreparing runs f, which makes a replication slot, while nobody prepares a table of the
// database for any source. conn must not be in a transaction.
//
// Postgres makes a slot in two phases. In the first it waits for the transactions that are open, and
// does not look at what commits meanwhile; in the second it waits for those that are open then, and a
// transaction that begins to write now is decoded with the catalog as it was before the first. So if a
// table was prepared in the first phase, changes that are made long after it are left out of the
// stream, or come without the old row. What was done before the first phase, or in the second, is known.
//
// Giving tables back may go on: a table that has left is prepared again before a shape reads it.
func WithoutPreparing(ctx context.Context, conn *pgx.Conn, f func() error) error {
	restore, err := sessionEndsIfSilent(ctx, conn)
	if err != nil {
		return fmt.Errorf("make a slot: %w", err)
	}
	defer restore()
	const noLimit = 0
	unlock, err := lock(ctx, conn, noLimit, "", strconv.FormatInt(slotLock, 10))
	if err != nil {
		return fmt.Errorf("wait until no table is being prepared: %w", err)
	}
	defer unlock()
	return f()
}

// lockTimedOut is the SQLSTATE of a lock that did not become free in time.
const lockTimedOut = "55P03"

// lock takes an advisory lock of the session; mode is "_shared" or "". It waits for the timeout, 0 for
// ever.
func lock(ctx context.Context, conn *pgx.Conn, timeout time.Duration, mode, key string) (unlock func(), err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { // the transaction is for its time limit
		_, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", timeout.Milliseconds()))
		if err == nil {
			_, err = tx.Exec(ctx, fmt.Sprintf("SELECT pg_catalog.pg_advisory_lock%s(%s)", mode, key))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return func() { atLast(ctx, conn, fmt.Sprintf("SELECT pg_catalog.pg_advisory_unlock%s(%s)", mode, key)) }, nil
}
