package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// What must hold.
const (
	memoryLimit = 96 << 20 // of ingest and of consumer, whatever the transaction's size
	lagLimit    = 1 << 20  // of WAL that the slot holds when all is at rest
)

const (
	verifyPatience = 2 * time.Minute
	lagPatience    = 40 * time.Second
	nudgeEvery     = time.Second
)

// check is something that must hold. problem is "" if it does.
type check struct{ what, problem string }

// checksPerShape is how many checks verify makes of each shape, before the others.
const checksPerShape = 3

func failedChecks(checks []check) error {
	var failed []string
	for _, c := range checks {
		if c.problem != "" {
			failed = append(failed, c.what)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %s failed: %s", len(failed), term.Plural(len(checks), "check"), strings.Join(failed, "; "))
}

// verify stops the traffic, waits until all of it has arrived, and looks whether everything is as it must be.
func (d *demo) verify(ctx context.Context) (checks []check, err error) {
	d.screen.phase("checking", "")
	d.traffic.stop()
	conn, err := d.parts.connectDB(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	end, err := pg.EmitBarrier(ctx, conn, topology.BarrierPrefix, "demo")
	if err != nil {
		return nil, err
	}
	if d.cfg.Fault == FaultStrayRow {
		d.apps[1].copy.stray()
	}
	for i, s := range d.apps {
		if err := d.awaitRows(ctx, s, end); err != nil {
			return nil, err
		}
		var ledger map[uint32]uint64
		whole := "every transaction came to " + s.title + " whole and once"
		if s.units {
			whole = "every transaction and every unit came to " + s.title + " whole"
		} else if ledger, err = readLedger(ctx, conn, i); err != nil {
			return nil, err
		}
		differs, err := s.copy.compare(func(row func(change.Row)) error { return selectRows(ctx, conn, s, row) })
		if err != nil {
			return nil, err
		}
		order, transactions := s.copy.problems(ledger)
		if _, err := s.wire.figures(); err != nil {
			transactions = strings.TrimPrefix(transactions+"; "+err.Error(), "; ")
		}
		checks = append(checks,
			check{"the copy of " + s.title + " equals its SELECT", differs},
			check{whole, transactions},
			check{"offsets of " + s.title + " strictly increase", order},
		)
	}
	lag, err := d.awaitLag(ctx, conn, end)
	if err != nil {
		return nil, err
	}
	return append(append(checks, d.memoryChecks(ctx)...), lag), nil
}

// awaitRows waits until the subscriber has everything that concerns the shape up to end.
func (d *demo) awaitRows(ctx context.Context, s *app, end change.LSN) error {
	return until(ctx, verifyPatience, "everything is at the subscriber of "+s.title, func() (bool, error) {
		info, err := s.shape.Refresh(ctx)
		if err != nil || info.State != control.StateLive {
			return false, errors.Join(err, ended(info))
		}
		return info.Applied >= end && !s.copy.figures().committed.Before(info.Offset), nil
	})
}

func ended(info control.Shape) error {
	if info.State == control.StateEnded {
		return fmt.Errorf("shape %s has ended: %s", info.Handle, info.Reason)
	}
	return nil
}

// selectRows runs the shape's query and hands out its rows in the text form that the stream has.
func selectRows(ctx context.Context, conn *pgx.Conn, s *app, row func(change.Row)) error {
	var columns []string
	for _, c := range s.shape.Columns() {
		columns = append(columns, pg.Ident(c.Name))
	}
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(columns, ", "), s.def.Table, s.def.Where)
	var params [][]byte
	for _, p := range s.def.Params {
		params = append(params, fmt.Append(nil, p))
	}
	result := conn.PgConn().ExecParams(ctx, sql, params, nil, nil, nil)
	for result.NextRow() {
		row(result.Values())
	}
	if _, err := result.Close(); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func (d *demo) memoryChecks(ctx context.Context) []check {
	d.meter.read(ctx)
	now, _ := d.meter.figures()
	var checks []check
	for _, part := range []struct {
		name string
		peak int64
	}{{"ingest", now.ingest}, {"consumer", now.consumer}} {
		if part.peak == 0 {
			continue // this system does not tell
		}
		check := check{what: fmt.Sprintf("%s never needed more than %s", part.name, term.Size(memoryLimit))}
		if part.peak > memoryLimit {
			check.problem = "it needed " + term.Size(part.peak)
		}
		checks = append(checks, check)
	}
	return checks
}

// awaitLag waits until Postgres need not keep what the demo wrote for the slot any more.
func (d *demo) awaitLag(ctx context.Context, conn *pgx.Conn, end change.LSN) (check, error) {
	check := check{what: "the replication slot has let go of the demo's WAL"}
	var slot slots.Info
	var nudged time.Time
	err := until(ctx, lagPatience, check.what, func() (bool, error) {
		var err error
		if slot, err = slots.Lookup(ctx, conn, slotName); err != nil {
			return false, err
		}
		if slot.ConfirmedFlush < end {
			return false, nil
		}
		if d.parts.postgres == nil {
			return true, nil // others' transactions may hold it back, and a checkpoint is not for a guest to make
		}
		if slot.RetainedBytes > lagLimit && time.Since(nudged) > nudgeEvery {
			// It notes which transactions run, which is what moves a slot on. By itself Postgres does so every 15 s.
			_, err = conn.Exec(ctx, "CHECKPOINT")
			nudged = time.Now()
		}
		return slot.RetainedBytes <= lagLimit, err
	})
	d.lag = slot.RetainedBytes
	if ctx.Err() != nil {
		return check, ctx.Err()
	}
	if err != nil {
		check.problem = fmt.Sprintf("it stands at %s, the last transaction at %s, and keeps %s", slot.ConfirmedFlush, end, term.Size(slot.RetainedBytes))
	}
	return check, nil
}
