package prepare

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// writersPoll is how often awaitEarlyWriters looks.
const writersPoll = 50 * time.Millisecond

// awaitEarlyWriters waits until no transaction is open that wrote to the table
// and began before the table entered the publication: what it wrote earlier
// is not in the stream. EnsureTable's own fence leaves none; this is for
// tables that a person added without one. It takes no locks.
//
// It cannot see a writer that began while the adding transaction was open, so
// the statements handed to people hold the fence's lock throughout.
func awaitEarlyWriters(ctx context.Context, conn *pgx.Conn, publication string, t *pg.TableInfo, timeout time.Duration) error {
	var xids []string
	for _, m := range t.Memberships {
		if m.Publication == publication && m.Filter == "" && m.Columns == "" {
			xids = append(xids, m.XID)
		}
	}
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	tick := time.NewTicker(writersPoll)
	defer tick.Stop()
	for {
		// A prepared transaction holds its locks without a pid. The oldest
		// membership counts; an age below 0 is one of more than 2^31
		// transactions, so older than any writer.
		holders, err := holderTexts(ctx, conn, `
			JOIN pg_catalog.pg_locks x ON x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid'
				AND x.mode = 'ExclusiveLock' AND x.granted
				AND pg_catalog.age(x.transactionid) > (
					SELECT max(CASE WHEN pg_catalog.age(w::xid) < 0 THEN 2147483647 ELSE pg_catalog.age(w::xid) END)
					FROM pg_catalog.unnest($2::text[]) w)`, t, xids)
		if err != nil {
			return fmt.Errorf("wait for writers of table %s: %w", t, err)
		}
		if len(holders) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for writers of table %s: %w", t, ctx.Err())
		case <-limit.C:
			return &pg.LockedError{Table: t.String(), Timeout: timeout, Holders: holders}
		case <-tick.C:
		}
	}
}

// lockHolders describes who has written to the table or has it locked, for an
// error text; nothing if that cannot be found out.
func lockHolders(ctx context.Context, conn *pgx.Conn, t *pg.TableInfo) []string {
	holders, err := holderTexts(ctx, conn, "", t)
	if err != nil {
		return nil
	}
	return holders
}

// holderTexts lists the other transactions that hold locks on the table or its
// leaves (only writers' locks when a join narrows them down), for people.
func holderTexts(ctx context.Context, conn *pgx.Conn, join string, t *pg.TableInfo, args ...any) ([]string, error) {
	writers := ""
	if join != "" {
		writers = "AND l.mode = 'RowExclusiveLock'"
	}
	rows, err := conn.Query(ctx, `
		SELECT DISTINCT CASE WHEN l.pid IS NULL THEN 'a prepared transaction (SELECT * FROM pg_prepared_xacts)'
			ELSE pg_catalog.format('pid %s, role %s, %s%s', l.pid, coalesce(a.usename::text, '?'), coalesce(a.state, 'state hidden'),
				coalesce(', open for ' || pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - a.xact_start)::text, '')) END
		FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid `+join+`
		WHERE l.locktype = 'relation' AND l.relation = ANY ($1::oid[]) AND l.granted `+writers+`
			AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
			AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
		ORDER BY 1 LIMIT 5`, append([]any{t.OIDs()}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
