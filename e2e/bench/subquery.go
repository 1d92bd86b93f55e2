package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// subqueries are the sizes of the bench of shapes with subqueries.
type subqueries struct {
	rows   int    // of the large transactions
	values int    // whose membership the large transactions change
	set    int    // rows of the inner table in both
	kinds  string // of transactions whose memory is measured
	revoke int    // size of a set that one transaction empties
	held   int    // values in the set whose memory is measured per value
	shapes int    // on one inner shape, besides one alone
	change int    // changes of membership that are timed
	stall  time.Duration
	part   string // "" for all
}

// subqueryFlags returns the bench of shapes with subqueries.
func subqueryFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	q := &subqueries{}
	flags.IntVar(&q.rows, "rows", 1_000_000, "rows of the large transactions on the outer table; the small ones have a hundredth")
	flags.IntVar(&q.values, "values", 100_000, "values whose membership the large transactions on the inner table change; the small ones change a tenth")
	flags.IntVar(&q.set, "set", 200_000, "rows of the inner table, of which every second is in the set")
	flags.StringVar(&q.kinds, "kinds", "outer inner both", "which tables the small and the large transactions of the part memory write to")
	flags.IntVar(&q.revoke, "revoke", 1_000_000, "size of a set that one transaction empties")
	flags.IntVar(&q.held, "held", 1_000_000, "values of the set whose memory is measured; compared with a hundredth")
	flags.IntVar(&q.shapes, "shapes", 1000, "shapes on the same inner shape, besides one alone")
	flags.IntVar(&q.change, "changes", 200, "changes of membership that are timed, one after another")
	flags.DurationVar(&q.stall, "stall", time.Minute, "how long the slow query takes")
	flags.StringVar(&q.part, "part", "", "memory, revocation, values, latency or slow; default: all of them")
	return func(ctx context.Context, env *common) (*report, error) {
		if q.rows < 100 || q.values < 10 || q.set < q.values || q.revoke < 1 || q.held < 100 || q.shapes < 1 || q.change < 1 || q.stall < time.Second {
			return nil, errors.New("want -rows and -held at least 100, -values at least 10, -revoke at least 1, -set at least as many, -shapes and -changes at least 1, -stall at least 1s")
		}
		return q.run(ctx, env)
	}
}

// run measures the things one after another, each with servers of its own.
func (q *subqueries) run(ctx context.Context, env *common) (*report, error) {
	r := &report{
		title: "Shapes with subqueries: rows of one table by a condition on another, customer IN (SELECT id FROM inner WHERE active)",
		notes: []string{
			"Goals: memory ratios at most 1.25, at most 192 MiB for a revocation of 1,000,000 values, at most 100 bytes a value, reconcile p50 at most 10 ms with one shape,", "one unit a change, and a slow query that costs the slot and other shapes nothing.", "",
		},
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context, *common, *report) error
	}{{"memory", q.memory}, {"revocation", q.revocation}, {"values", q.perValue}, {"latency", q.latency}, {"slow", q.slow}} {
		if q.part != "" && q.part != part.name {
			continue
		}
		if err := part.measure(ctx, env, r); err != nil {
			return nil, err
		}
	}
	if len(r.tables) == 0 {
		return nil, fmt.Errorf("-part %s: there is no such part", q.part)
	}
	return r, nil
}

// open opens a lab for a part, with the first one the report's machine.
func (q *subqueries) open(ctx context.Context, env *common, r *report, need uint64) (context.Context, *lab, error) {
	ctx, l, err := openLab(ctx, env, need, false)
	if err == nil && r.machine == "" {
		r.machine, err = l.machine(ctx)
	}
	return ctx, l, err
}

// office is a source with an outer and an inner table, its services, and a shape with a subquery.
type office struct {
	*lab

	source       topology.Source
	outer, inner string // tables
	ingest       *process
	consumer     *process
	materializer *process
	shape        *shape
}

// membership is the clause of the shapes.
func (o *office) membership() string {
	return fmt.Sprintf("customer IN (SELECT id FROM %s WHERE active)", o.inner)
}

// openOffice makes the tables and starts the services. Every second of the inner rows is active, or all; the outer
// rows are spread over them. Names begin with that of the source.
func (l *lab) openOffice(ctx context.Context, name string, inner, outer int, all bool, args ...string) (*office, error) {
	o := &office{lab: l, source: topology.Source(name), outer: name + "_outer", inner: name + "_inner"}
	err := l.exec(ctx, fmt.Sprintf(tableSQL, o.outer)+fmt.Sprintf("; CREATE INDEX ON %s (customer); CREATE TABLE %s (id int PRIMARY KEY, active bool NOT NULL)", o.outer, o.inner))
	if err != nil {
		return nil, err
	}
	if err := l.exec(ctx, fmt.Sprintf("INSERT INTO %s SELECT i, %t OR i %% 2 = 0 FROM generate_series(1, %d) i; %s; ANALYZE", o.inner, all, inner, o.rowsSQL(1, outer, inner))); err != nil {
		return nil, err
	}
	if o.ingest, err = l.ingest(ctx, o.source); err != nil {
		return nil, err
	}
	if o.consumer, err = l.consumer(ctx, o.source, args...); err != nil {
		return nil, err
	}
	// Which partitions it has by when does not matter: a shape waits for its sets.
	if o.materializer, err = l.service(ctx, o.source, "shapebus_build_info", []string{"materializer"}); err != nil {
		return nil, err
	}
	return o, nil
}

// rowsSQL inserts outer rows, spread over so many inner ones.
func (o *office) rowsSQL(first, last, inner int) string {
	return fmt.Sprintf("INSERT INTO %s SELECT i, i %% %d, 1 + i %% %d, left(md5(i::text) || md5((-i)::text), 62) FROM generate_series(%d, %d) i",
		o.outer, kinds, inner, first, last)
}

// createShape makes the office's shape.
func (o *office) createShape(ctx context.Context) (err error) {
	o.shape, err = o.create(ctx, o.source, client.Definition{Table: o.outer, Where: o.membership()})
	return err
}

// close stops the services.
func (o *office) close() {
	for _, p := range []*process{o.materializer, o.consumer, o.ingest} {
		if p != nil {
			p.stop()
		}
	}
}
