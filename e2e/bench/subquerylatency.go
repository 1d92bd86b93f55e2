package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

const (
	// rowsPerValue is how many outer rows come or go with a value.
	rowsPerValue = 10
	latencySet   = 1000 // inner rows
	// watched is how many of the shapes have a reader; more would measure how busy the readers' machine is.
	watched = 10
	// between is the pause from one change's arrival to the next change.
	between = 20 * time.Millisecond
)

// latency measures the time from the commit of one change of membership until the client has the rows that it brings
// or takes, with one shape and with many on the same inner shape.
func (q *subqueries) latency(ctx context.Context, env *common, r *report) error {
	r.table(fmt.Sprintf("From COMMIT of one change of membership, with %d rows, to the client: %d changes, in ms", rowsPerValue, q.change),
		"shapes", "p50", "p90", "p99", "max", "units a change", "rows read back a change")
	for _, n := range []int{1, q.shapes} {
		if err := q.reconcile(ctx, env, r, n); err != nil {
			return fmt.Errorf("%d shapes: %w", n, err)
		}
		if q.shapes == 1 {
			break
		}
	}
	return nil
}

func (q *subqueries) reconcile(ctx context.Context, env *common, r *report, n int) (err error) {
	ctx, l, err := q.open(ctx, env, r, 1<<30)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return err
	}
	o, err := l.openOffice(ctx, "reconcile", latencySet, latencySet*rowsPerValue, false)
	if err != nil {
		return err
	}
	l.say("making %d shapes on the same inner shape", n)
	shapes, err := o.createMany(ctx, n)
	if err != nil {
		return err
	}
	l.say("%d changes of membership", q.change)
	step := max(1, n/watched)
	var seen []*shape
	for i := 0; i < n; i += step {
		seen = append(seen, shapes[i])
	}
	units, reread, err := o.units(ctx)
	if err != nil {
		return err
	}
	took, err := o.timeChanges(ctx, seen, q.change)
	if err != nil {
		return err
	}
	unitsAfter, rereadAfter, err := o.units(ctx)
	if err != nil {
		return err
	}
	for _, s := range []*shape{shapes[0], shapes[n-1]} {
		if _, err := l.verify(ctx, s); err != nil {
			return err
		}
	}
	slices.Sort(took)
	at := func(share float64) float64 { return millis(percentile(took, share)) }
	each := func(v float64) float64 { return v / float64(q.change+warmChanges(q.change)) }
	r.row(strconv.Itoa(n), number(at(0.5)), number(at(0.9)), number(at(0.99)), number(at(1)), number(each(unitsAfter-units)), number(each(rereadAfter-reread)))
	suffix := ""
	if n > 1 {
		suffix = "_1000"
	}
	r.add("reconcile_p50_ms"+suffix, at(0.5), "ms")
	r.add("reconcile_p99_ms"+suffix, at(0.99), "ms")
	r.add("units_per_change"+suffix, each(unitsAfter-units), "units")
	return nil
}

// units is how many units the consumer has opened, and how many rows it has read back for them.
func (o *office) units(ctx context.Context) (units, reread float64, err error) {
	if units, err = o.consumer.metric(ctx, "shapebus_consumer_units_total"); err != nil {
		return 0, 0, err
	}
	reread, err = o.consumer.metric(ctx, "shapebus_consumer_reread_rows_total")
	return units, reread, err
}

// createMany makes shapes that differ in a condition and hold the same rows, and waits until all are live.
func (o *office) createMany(ctx context.Context, n int) ([]*shape, error) {
	cl, err := client.New(o.nc, string(o.source))
	if err != nil {
		return nil, err
	}
	def := func(i int) client.Definition {
		return client.Definition{Table: o.outer, Where: o.membership() + " AND kind >= $1", Params: []any{strconv.Itoa(-i)}}
	}
	shapes := make([]*shape, n)
	// The first one brings the tables into the publication.
	if shapes[0], err = o.create(ctx, o.source, def(0)); err != nil {
		return nil, err
	}
	group, creating := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := 1; i < n; i++ {
		group.Go(func() error {
			s, err := cl.Create(creating, def(i))
			shapes[i] = &shape{Shape: s, source: o.source}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	live := 0
	return shapes, poll(ctx, pollEvery/5, fmt.Sprintf("%d shapes are live", n), func() (bool, error) {
		for ; live < n; live++ {
			info, err := shapes[live].Refresh(ctx)
			if err == nil && info.State != control.StateLive && info.State != control.StateCreating {
				err = fmt.Errorf("shape %s is %s: %s", info.Handle, info.State, info.Reason)
			}
			if err != nil || info.State != control.StateLive {
				return false, err
			}
		}
		return true, nil
	})
}

// sighting is a commit that brought or took rows of a value, at one of the readers.
type sighting struct {
	value, reader int
	at            time.Time
}

// timeChanges changes the membership of one value after another, each when all readers have the one before, and
// returns how long each change took to each reader.
func (o *office) timeChanges(ctx context.Context, shapes []*shape, changes int) (took []time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	sightings := make(chan sighting, len(shapes))
	for i, s := range shapes {
		group.Go(func() error { return sight(ctx, s.Shape, i, sightings) })
	}
	next := func(value int) ([]time.Time, error) {
		at := make([]time.Time, len(shapes))
		for missing := len(shapes); missing > 0; {
			select {
			case s := <-sightings:
				if s.value == value && at[s.reader].IsZero() {
					at[s.reader] = s.at
					missing--
				}
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		return at, nil
	}
	group.Go(func() error {
		defer cancel()
		if _, err := next(0); err != nil { // they are at the end of their logs
			return err
		}
		for i := range changes + warmChanges(changes) {
			value := 1 + i%latencySet
			committed, err := o.toggle(ctx, value)
			if err != nil {
				return err
			}
			arrived, err := next(value)
			if err != nil {
				return fmt.Errorf("change %d, of value %d: %w", i, value, err)
			}
			for _, at := range arrived {
				if i >= warmChanges(changes) {
					took = append(took, at.Sub(committed))
				}
			}
			if err := poll(ctx, between, "a pause is over", func() (bool, error) { return time.Since(slices.MaxFunc(arrived, time.Time.Compare)) >= between, nil }); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil && len(took) < changes*len(shapes) {
		return nil, err
	}
	return took, nil
}

// warmChanges is how many changes go before those that count.
func warmChanges(changes int) int { return changes/10 + 1 }

// toggle changes the membership of a value and returns when COMMIT was sent.
func (o *office) toggle(ctx context.Context, value int) (time.Time, error) {
	tx, err := o.db.Begin(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("UPDATE %s SET active = NOT active WHERE id = $1", o.inner), value); err != nil {
		return time.Time{}, errors.Join(err, tx.Rollback(ctx))
	}
	sent := time.Now()
	return sent, tx.Commit(ctx)
}

// sight reports the commits of a shape by the value of their first row, and the end of its log as value 0, until ctx ends.
func sight(ctx context.Context, s *client.Shape, reader int, sightings chan<- sighting) error {
	ahead, value := false, 0
	for event, err := range s.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		now := time.Now()
		tell := false
		switch e := event.(type) {
		case client.Begin:
			value = 0
		case client.Change:
			if value == 0 {
				id, _ := e.Row.Text("id")
				n, err := strconv.Atoi(id)
				if err != nil {
					return fmt.Errorf("a row with id %q: %w", id, err)
				}
				value = 1 + n%latencySet
			}
		case client.Commit:
			tell = ahead && value != 0
		case client.CaughtUp:
			if !ahead {
				ahead, value, tell = true, 0, true
			}
		}
		if tell {
			select {
			case sightings <- sighting{value, reader, now}:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}
