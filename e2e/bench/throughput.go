package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// publication is what all runs read.
const publication = "bench"

// throughputFlags returns the bench of throughput.
func throughputFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	rows := flags.Int("rows", 1_000_000, "rows of the one big transaction")
	transactions := flags.Int("transactions", 20_000, "small transactions, of 1 to 10 rows")
	runs := flags.Int("runs", 3, "runs of each kind, of which the median counts")
	return func(ctx context.Context, env *common) (*report, error) {
		if *rows < 1 || *transactions < 1 || *runs < 1 {
			return nil, errors.New("-rows, -transactions and -runs must be at least 1")
		}
		return throughput(ctx, env, *rows, *transactions, *runs)
	}
}

// kind is what drains the backlog.
type kind string

const (
	kindFloor    kind = "floor"      // pg_recvlogical to /dev/null
	kindIngest   kind = "ingest"     // ingest into the change log
	kindEndToEnd kind = "end_to_end" // ingest and consumer, into the log of a shape with every row
)

// throughput measures the time to drain a backlog that waits in a slot.
func throughput(ctx context.Context, env *common, rows, transactions, runs int) (r *report, err error) {
	// Per row: table, index and WAL 400 bytes, the walsender's spill file 260, and 120 in every log that is made of them.
	perRow := uint64(660 + 360*runs)
	ctx, l, err := openLab(ctx, env, uint64(rows+6*transactions)*perRow+1<<30, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{
		title: fmt.Sprintf("Time to drain a backlog of ~%d-byte rows, medians of %d interleaved runs; CPU in seconds per million rows", rowBytes, runs),
		notes: []string{"Goals, end to end: big at most 1.5 times the floor, small at most 2.5.", ""},
	}
	r.table("", "backlog", "drained by", "s", "over floor", "rows/s", "CPU walsender", "receiver", "NATS", "consumer")
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	for _, w := range []workload{
		{name: "big", write: func() error { return l.writeBig(ctx, "big", rows) }},
		{name: "small", write: func() error { return l.writeSmall(ctx, "small", transactions) }},
	} {
		results, err := l.drain(ctx, &w, runs)
		if err != nil {
			return nil, err
		}
		w.tell(r, results)
	}
	return r, nil
}

// workload is a backlog. Its name is that of its table too.
type workload struct {
	name  string
	write func() error

	rows int64
	end  change.LSN // where it ends in the WAL
}

// contender is a slot, and whatever else one run needs, made before the backlog was written.
type contender struct {
	kind   kind
	slot   string
	source topology.Source
	shape  *shape
}

// drain prepares every contender, writes the backlog, and lets them at it one after another.
func (l *lab) drain(ctx context.Context, w *workload, runs int) (map[kind][]result, error) {
	l.say("%s: preparing slots, change logs and shapes for %d runs of each kind", w.name, runs)
	err := l.exec(ctx, fmt.Sprintf(tableSQL, w.name)+"; ALTER TABLE "+w.name+" REPLICA IDENTITY FULL; DROP PUBLICATION IF EXISTS "+publication+
		"; CREATE PUBLICATION "+publication+" FOR TABLE "+w.name+" WITH (publish_via_partition_root = true)")
	if err != nil {
		return nil, err
	}
	var all []*contender
	for n := range runs {
		for _, k := range []kind{kindFloor, kindIngest, kindEndToEnd} {
			c, err := l.prepare(ctx, k, fmt.Sprintf("%s_%s_%d", w.name, k, n), w.name)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	l.say("%s: writing the backlog", w.name)
	if err := w.write(); err != nil {
		return nil, err
	}
	if w.rows, err = l.count(ctx, "SELECT count(*) FROM "+w.name); err != nil {
		return nil, err
	}
	if w.end, err = pg.EmitBarrier(ctx, l.db, topology.BarrierPrefix, "end"); err != nil {
		return nil, err
	}
	if err := l.exec(ctx, "CHECKPOINT"); err != nil {
		return nil, err
	}
	results := map[kind][]result{}
	for _, c := range all {
		syncDisks()
		res, err := l.measure(ctx, w, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.source, err)
		}
		l.say("%s: %d rows in %.2f s", c.source, w.rows, res.seconds)
		results[c.kind] = append(results[c.kind], res)
	}
	return results, l.clear(ctx, all)
}

// prepare makes a slot and lets the services set up what they keep, with the table still empty; then they are stopped.
func (l *lab) prepare(ctx context.Context, k kind, name, table string) (*contender, error) {
	c := &contender{kind: k, source: topology.Source(name)}
	c.slot = c.source.Slot()
	if k == kindFloor {
		_, err := l.db.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", c.slot)
		return c, err
	}
	ingest, err := l.ingest(ctx, c.source, "--publication", publication)
	if err != nil || k == kindIngest {
		if ingest != nil {
			ingest.stop()
		}
		return c, err
	}
	defer ingest.stop()
	consumer, err := l.consumer(ctx, c.source, "--publication", publication)
	if err != nil {
		return nil, err
	}
	defer consumer.stop()
	c.shape, err = l.create(ctx, c.source, client.Definition{Table: table})
	return c, err
}

// clear removes slots and streams, so that they cost the next workload nothing.
func (l *lab) clear(ctx context.Context, all []*contender) error {
	for _, c := range all {
		err := poll(ctx, pollEvery, "slot "+c.slot+" is free", func() (bool, error) {
			s, err := slots.Lookup(ctx, l.db, c.slot)
			return !s.Active, err
		})
		if err != nil {
			return err
		}
		if err := slots.Drop(ctx, l.db, c.slot); err != nil {
			return err
		}
	}
	names := l.js.StreamNames(ctx)
	var streams []string
	for name := range names.Name() {
		streams = append(streams, name)
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("list the streams: %w", err)
	}
	for _, name := range streams {
		if err := l.js.DeleteStream(ctx, name); err != nil {
			return fmt.Errorf("delete stream %s: %w", name, err)
		}
	}
	return nil
}

// tell adds a workload's results to the report.
func (w *workload) tell(r *report, results map[kind][]result) {
	const million = 1e6
	floor := 0.0
	for _, k := range []kind{kindFloor, kindIngest, kindEndToEnd} {
		var seconds []float64
		cpu := map[role][]float64{}
		for _, res := range results[k] {
			seconds = append(seconds, res.seconds)
			for of, s := range res.cpu {
				cpu[of] = append(cpu[of], s/float64(w.rows)*million)
			}
		}
		took := median(seconds)
		prefix := w.name + "_" + string(k)
		if k == kindFloor {
			floor = took
		} else {
			r.add(prefix+"_ratio", took/floor, "ratio")
		}
		r.add(prefix+"_rows_per_s", float64(w.rows)/took, "rows/s")
		cells := []string{fmt.Sprintf("%s, %d rows", w.name, w.rows), string(k), number(took), number(took / floor), number(float64(w.rows) / took)}
		for _, of := range roles {
			if cpu[of] == nil {
				cells = append(cells, "")
				continue
			}
			r.add(prefix+"_cpu_"+string(of), median(cpu[of]), "s/Mrows")
			cells = append(cells, number(median(cpu[of])))
		}
		r.row(cells...)
	}
}
