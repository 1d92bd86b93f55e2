package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/change"
)

// largeTransaction is the large transaction: what was written and when it arrived.
type largeTransaction struct {
	xid       change.XID
	wrote     time.Duration // from BEGIN to COMMIT's answer
	committed time.Time
	arrivals  []arrival // one for each shape that it concerns, in their order
	slowest   time.Duration
}

// arrival is the large transaction at one subscriber.
type arrival struct {
	shape     *app
	changes   uint64
	fragments int
	after     time.Duration // from COMMIT's answer to the last row
}

// The large transaction's tasks have ids of their own, far from the others, so that its comments know them.
const (
	largeTasks = `INSERT INTO tasks (id, project_id, assignee_id, title, status, priority, due_on)
		SELECT 1000000000 + g, CASE WHEN g % 10 < 7 THEN 7 ELSE 1 + g % 30 END, 1 + g % 18, 'Imported: check stock of item ' || g,
			(ARRAY['open', 'done', 'done', 'doing', 'done'])[1 + g % 5], 1 + (g / 5) % 5, current_date + g % 90
		FROM generate_series(1, $1::int) g`
	largeComments = `INSERT INTO comments (task_id, author_id, body, created_at)
		SELECT 1000000000 + 1 + g % $2::int, 1 + g % 18, 'Imported with the old system''s note no. ' || g, now() - (g % 60) * interval '1 day'
		FROM generate_series(1, $1::int) g`
	// One of the projects that it writes tasks of becomes active at its end: its tasks come, those of before and the new ones.
	largeProject = "UPDATE projects SET active = true WHERE id = 9"
)

// large writes one transaction of many rows beside the ordinary ones, and waits until every subscriber has all of it.
func (d *demo) large(ctx context.Context) error {
	title := "one transaction of " + term.Plural(d.cfg.Rows, "row")
	d.screen.phase(title+" is being written", "")
	if err := d.writeLarge(ctx); err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	d.screen.phase(title+", committed; on its way to the subscribers", "")
	conn, err := d.parts.connectDB(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // it was for reading only
	patience := 3*time.Minute + time.Duration(d.cfg.Rows)*200*time.Microsecond
	for i, s := range d.apps {
		if s.units {
			came := func() (bool, error) { return d.toggles.largeUnit() != nil, nil }
			if err := until(ctx, patience, "the large transaction is at the subscriber of "+s.title, came); err != nil {
				return err
			}
			unit := d.toggles.largeUnit()
			d.arrived(arrival{shape: s, changes: unit.changes, fragments: s.wire.fragmentsOf(d.big.xid), after: unit.at.Sub(d.big.committed)})
			continue
		}
		ledger, err := readLedger(ctx, conn, i)
		if err != nil {
			return err
		}
		if ledger[uint32(d.big.xid)] == 0 {
			continue // too few rows for it to get any
		}
		came := func() (bool, error) { _, ok := s.copy.saw(d.big.xid); return ok, nil }
		if err := until(ctx, patience, "the large transaction is at the subscriber of "+s.title, came); err != nil {
			return err
		}
		seen, _ := s.copy.saw(d.big.xid)
		d.arrived(arrival{shape: s, changes: seen.changes, fragments: s.wire.fragmentsOf(d.big.xid), after: seen.at.Sub(d.big.committed)})
	}
	return nil
}

func (d *demo) arrived(a arrival) {
	d.big.arrivals = append(d.big.arrivals, a)
	d.big.slowest = max(d.big.slowest, a.after)
}

func (d *demo) writeLarge(ctx context.Context) (err error) {
	conn, err := d.parts.connectDB(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	comments := d.cfg.Rows / 20
	tasks := d.cfg.Rows - comments
	began := time.Now()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var xid int64
		if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()::xid::text::bigint").Scan(&xid); err != nil {
			return err
		}
		d.big.xid = change.XID(xid)
		if _, err := tx.Exec(ctx, largeTasks, tasks); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, largeComments, comments, tasks); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, largeProject); err != nil {
			return err
		}
		var at string
		if err := tx.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&at); err != nil {
			return err
		}
		lsn, err := change.ParseLSN(at)
		d.toggles.largeAt(lsn)
		return err
	})
	d.big.committed = time.Now()
	d.big.wrote = d.big.committed.Sub(began)
	return err
}
