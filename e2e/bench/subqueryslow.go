package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/client"
)

// slowRate is how many transactions a second another shape gets beside the slow query.
const slowRate = 50

// slow measures what goes on while the query that reads rows back takes long: the WAL that the slot waits for, and the
// latency of another shape, both before and meanwhile. The query takes long because its backend in Postgres is stopped.
func (q *subqueries) slow(ctx context.Context, env *common, r *report) (err error) {
	ctx, l, err := q.open(ctx, env, r, 1<<30)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return err
	}
	o, err := l.openOffice(ctx, "slow", latencySet, latencySet*rowsPerValue, false)
	if err != nil {
		return err
	}
	if err := o.createShape(ctx); err != nil {
		return err
	}
	phases := []*phase{{name: "before", table: "before"}, {name: "meanwhile", table: "meanwhile"}}
	for _, p := range phases {
		if err := l.exec(ctx, fmt.Sprintf(tableSQL, p.table)); err != nil {
			return err
		}
		if p.shape, err = l.create(ctx, o.source, client.Definition{Table: p.table}); err != nil {
			return err
		}
	}
	l.say("traffic for another shape without a slow query")
	if err := l.traffic(ctx, o, phases[0], q.stall/2); err != nil {
		return err
	}
	l.say("a query that takes %s", q.stall)
	took, err := o.stalled(ctx, func() error {
		if err := l.exec(ctx, o.rowsSQL(1_000_001, 1_000_100, latencySet)); err != nil {
			return err
		}
		return l.traffic(ctx, o, phases[1], q.stall)
	})
	if err != nil {
		return err
	}
	for _, s := range []*shape{o.shape, phases[0].shape, phases[1].shape} {
		if _, err := l.verify(ctx, s); err != nil {
			return err
		}
	}
	r.table(fmt.Sprintf("A query for changed rows that takes %s: the shape with the subquery waits, the others do not", number(took.Seconds())+" s"),
		"", "slot's lag at most", "at the end", "WAL kept for it at most", "another shape's p50", "p99", "max")
	for _, p := range phases {
		at := func(share float64) string { return number(millis(percentile(p.trips.whole, share))) + " ms" }
		r.row(p.name, number(p.lag)+" MiB", number(p.last)+" MiB", number(p.kept)+" MiB", at(0.5), at(0.99), at(1))
	}
	before, meanwhile := phases[0], phases[1]
	r.add("slot_lag_before_reconcile", before.lag, "MiB")
	r.add("slot_lag_during_reconcile", meanwhile.lag, "MiB")
	r.add("other_p50_ms_before_reconcile", millis(percentile(before.trips.whole, 0.5)), "ms")
	r.add("other_p50_ms_during_reconcile", millis(percentile(meanwhile.trips.whole, 0.5)), "ms")
	r.add("other_p99_ms_before_reconcile", millis(percentile(before.trips.whole, 0.99)), "ms")
	r.add("other_p99_ms_during_reconcile", millis(percentile(meanwhile.trips.whole, 0.99)), "ms")
	r.add("reconcile_held_up_s", took.Seconds(), "s")
	return nil
}

// phase is a time of traffic on a table, and what was seen meanwhile.
type phase struct {
	name, table string
	shape       *shape
	trips       *trips
	lag, last   float64 // MiB of WAL that the slot's reader has not confirmed: at most, and at the end
	kept        float64 // MiB of WAL that Postgres keeps for the slot, at most
}

// traffic writes to the table of a phase for a while.
func (l *lab) traffic(ctx context.Context, o *office, p *phase, d time.Duration) error {
	n := max(1, int(d.Seconds()*slowRate))
	skip := min(warmUp, n/10)
	p.trips = newTrips(n, slowRate)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, watching := errgroup.WithContext(ctx)
	group.Go(func() error { return l.watchLag(watching, o.source.Slot(), p) })
	group.Go(func() error {
		defer cancel()
		return p.trips.run(watching, l.url, p.table, p.shape.Shape)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	p.trips.sum(skip)
	return nil
}

// watchLag notes the lag of a slot until ctx ends.
func (l *lab) watchLag(ctx context.Context, slot string, p *phase) (err error) {
	conn, err := pgx.Connect(ctx, l.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	const mib = 1 << 20
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		var lag, kept float64
		err := conn.QueryRow(ctx, `SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::float8, (pg_current_wal_lsn() - restart_lsn)::float8
			FROM pg_replication_slots WHERE slot_name = $1`, slot).Scan(&lag, &kept)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at slot %s: %w", slot, err)
		}
		p.last, p.lag, p.kept = lag/mib, max(p.lag, lag/mib), max(p.kept, kept/mib)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stalled changes a membership, stops the backend that reads the rows back for it, does something, and lets the
// backend go on. It returns how long the change took to a reader of the shape.
func (o *office) stalled(ctx context.Context, meanwhile func() error) (took time.Duration, err error) {
	const value = 1
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, reading := errgroup.WithContext(ctx)
	sightings := make(chan sighting, 1)
	group.Go(func() error { return sight(reading, o.shape.Shape, 0, sightings) })
	group.Go(func() (err error) {
		defer cancel()
		wait := func() (sighting, error) {
			select {
			case s := <-sightings:
				return s, nil
			case <-reading.Done():
				return sighting{}, context.Cause(reading)
			}
		}
		if _, err := wait(); err != nil {
			return err
		}
		locker, err := pgx.Connect(reading, o.url)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, locker.Close(context.WithoutCancel(reading))) }()
		// The lock is only for catching the backend at a place where it holds nothing that others need.
		if _, err := locker.Exec(reading, "BEGIN; LOCK TABLE "+o.outer+" IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		committed, err := o.toggle(reading, value)
		if err != nil {
			return err
		}
		pid, err := o.waiting(reading)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return fmt.Errorf("stop process %d, a backend of Postgres: %w", pid, err)
		}
		_, err = locker.Exec(reading, "COMMIT")
		if err == nil {
			err = meanwhile()
		}
		if err := errors.Join(err, syscall.Kill(pid, syscall.SIGCONT)); err != nil {
			return err
		}
		// The first commit that the shape has since then is that of the change, whatever else
		// it brings: a query that lost its lock meanwhile is asked again, and sees more.
		s, err := wait()
		if err == nil {
			took = s.at.Sub(committed)
		}
		return err
	})
	if err := group.Wait(); err != nil && took == 0 {
		return 0, err
	}
	return took, nil
}

// waiting returns the backend that waits for the lock on the outer table.
func (o *office) waiting(ctx context.Context) (pid int, err error) {
	err = poll(ctx, pollEvery/5, "the query for the changed rows waits for the lock", func() (bool, error) {
		rows, err := o.db.Query(ctx, "SELECT l.pid FROM pg_locks l WHERE NOT l.granted AND l.relation = $1::regclass", o.outer)
		if err != nil {
			return false, err
		}
		pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil || len(pids) == 0 {
			return false, err
		}
		pid = slices.Min(pids)
		return true, nil
	})
	return pid, err
}
