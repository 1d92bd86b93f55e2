package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/client"
)

// idle is the size of the bench of what a consumer costs while little or nothing happens.
type idle struct {
	plain, subqueries int // shapes
	toggles           int
	partitions        int
	period            time.Duration
}

// idleFlags returns the bench of an idle consumer.
func idleFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	var i idle
	flags.IntVar(&i.plain, "plain", 2000, "shapes of another customer each")
	flags.IntVar(&i.subqueries, "subqueries", 200, "shapes with a subquery of their own each")
	flags.IntVar(&i.toggles, "toggles", 200, "changes of membership, one after another")
	flags.IntVar(&i.partitions, "partitions", 8, "partitions that the shapes are spread over")
	flags.DurationVar(&i.period, "period", 30*time.Second, "how long nothing happens")
	return func(ctx context.Context, env *common) (*report, error) {
		if i.plain < 1 || i.subqueries < 1 || i.subqueries > latencySet || i.toggles < 1 || i.partitions < 1 || i.period < time.Second {
			return nil, fmt.Errorf("-plain, -subqueries (at most %d), -toggles and -partitions must be at least 1, -period a second", latencySet)
		}
		return i.run(ctx, env)
	}
}

// run measures the consumer's CPU time while nothing happens, and then per change of membership.
func (i *idle) run(ctx context.Context, env *common) (r *report, err error) {
	ctx, l, err := openLab(ctx, env, 1<<30, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{title: fmt.Sprintf("A consumer with %d shapes and %d with a subquery of their own: CPU time while nothing happens, and per change of membership", i.plain, i.subqueries)}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	o, err := l.openOffice(ctx, "idle", latencySet, latencySet*rowsPerValue, true, "--partitions", strconv.Itoa(i.partitions))
	if err != nil {
		return nil, err
	}
	l.say("creating %d shapes and %d with a subquery", i.plain, i.subqueries)
	shapes, err := i.create(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := atRest(ctx, o.consumer); err != nil {
		return nil, err
	}
	procs := map[string]*process{"ingest": o.ingest, "consumer": o.consumer, "materializer": o.materializer, "NATS": l.nats}
	names := []string{"consumer", "materializer", "ingest", "NATS"}
	r.table("", append([]string{"CPU"}, names...)...)
	rest, err := i.measure(procs, func() error {
		began := time.Now()
		return poll(ctx, pollEvery, "nothing has happened for a while", func() (bool, error) { return time.Since(began) >= i.period, nil })
	})
	if err != nil {
		return nil, err
	}
	l.say("%d changes of membership", i.toggles)
	busy, err := i.measure(procs, func() error { return i.toggle(ctx, o, shapes) })
	if err != nil {
		return nil, err
	}
	memory, err := residentMemory(o.consumer.Pid())
	if err != nil {
		return nil, err
	}
	percent, each := []string{"idle, % of a core"}, []string{"per change, ms"}
	for _, name := range names {
		percent = append(percent, number(rest[name]/i.period.Seconds()*100))
		each = append(each, number(busy[name]*1000/float64(i.toggles)))
	}
	r.row(percent...)
	r.row(each...)
	r.notes = []string{"Goals, for 2,000 and 200 shapes: at most 1 % of a core while nothing happens, at most 6 ms a change.", ""}
	r.add("idle_consumer_cpu_percent", rest["consumer"]/i.period.Seconds()*100, "%")
	r.add("toggle_cpu_ms", busy["consumer"]*1000/float64(i.toggles), "ms")
	r.add("idle_materializer_cpu_percent", rest["materializer"]/i.period.Seconds()*100, "%")
	r.add("idle_consumer_rss", memory, "MiB")
	return r, nil
}

// measure returns the CPU time that each process has used while f ran, in seconds.
func (i *idle) measure(procs map[string]*process, f func() error) (map[string]float64, error) {
	before, err := usages(procs)
	if err == nil {
		err = f()
	}
	if err != nil {
		return nil, err
	}
	after, err := usages(procs)
	for name := range after {
		after[name] -= before[name]
	}
	return after, err
}

// create makes the shapes and returns those with subqueries.
func (i *idle) create(ctx context.Context, o *office) ([]*shape, error) {
	cl, err := client.New(o.nc, string(o.source))
	if err != nil {
		return nil, err
	}
	var defs []client.Definition
	for n := range i.subqueries {
		first, last := i.values(n)
		defs = append(defs, client.Definition{
			Table: o.outer,
			Where: fmt.Sprintf("customer IN (SELECT id FROM %s WHERE active AND id >= %d AND id <= %d)", o.inner, first, last),
		})
	}
	for n := range i.plain {
		defs = append(defs, client.Definition{Table: o.outer, Where: "customer = $1", Params: []any{strconv.Itoa(n + 1)}})
	}
	all := make([]*shape, len(defs))
	// The first one brings the tables into the publication.
	if all[0], err = o.create(ctx, o.source, defs[0]); err != nil {
		return nil, err
	}
	group, creating := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for n := 1; n < len(defs); n++ {
		group.Go(func() error {
			s, err := cl.Create(creating, defs[n])
			all[n] = &shape{Shape: s, source: o.source}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return all[:i.subqueries], o.awaitLive(ctx, o.consumer, len(defs)+i.subqueries) // each subquery has an inner shape
}

// values are those that the n-th subquery selects from.
func (i *idle) values(n int) (first, last int) {
	return 1 + n*latencySet/i.subqueries, (n + 1) * latencySet / i.subqueries
}

// toggle changes the membership of one value after another, each when a reader of the shape that it concerns has the
// one before.
func (i *idle) toggle(ctx context.Context, o *office, shapes []*shape) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	readers := min(watched, len(shapes))
	sightings := make([]chan sighting, readers)
	for n := range readers {
		sightings[n] = make(chan sighting, 1)
		group.Go(func() error { return sight(ctx, shapes[n].Shape, n, sightings[n]) })
	}
	await := func(n int) error {
		select {
		case <-sightings[n]:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var done bool
	group.Go(func() error {
		defer cancel()
		for n := range readers { // they are at the end of their logs
			if err := await(n); err != nil {
				return err
			}
		}
		for n := range i.toggles {
			first, last := i.values(n % readers)
			if _, err := o.toggle(ctx, first+n/readers%(last-first+1)); err != nil {
				return err
			}
			if err := await(n % readers); err != nil {
				return fmt.Errorf("change %d: %w", n, err)
			}
		}
		done = true
		return nil
	})
	if err := group.Wait(); err != nil && !done {
		return err
	}
	if !done {
		return errors.New("the readers have ended")
	}
	return nil
}
