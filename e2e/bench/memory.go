package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// memoryRatio is how much larger the large transaction is than the small one.
const memoryRatio = 50

// memoryFlags returns the bench of memory.
func memoryFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	rows := flags.Int("rows", 5_000_000, "rows of the large transaction; the small one has a fiftieth")
	return func(ctx context.Context, env *common) (*report, error) {
		if *rows < memoryRatio {
			return nil, fmt.Errorf("-rows %d: want at least %d", *rows, memoryRatio)
		}
		return memory(ctx, env, *rows)
	}
}

// peak is what one transaction took.
type peak struct {
	ingest, consumer, nats float64 // MiB
	seconds                float64 // from the commit to the last marker
}

// memory measures the peak memory of the services while one transaction flows through three shapes, a small one first and
// a large one, each in fresh processes.
func memory(ctx context.Context, env *common, rows int) (r *report, err error) {
	// Per row: table and index 160 bytes, WAL 240, the walsender's spill file 260, change log and shape logs 250.
	const perRow, base = 910, 1 << 30
	ctx, l, err := openLab(ctx, env, uint64(rows)*perRow+base, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{title: fmt.Sprintf("Peak memory (VmHWM) while one transaction of ~%d-byte rows flows through three shapes", rowBytes)}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	small, err := l.memoryOf(ctx, "m1", rows/memoryRatio)
	if err != nil {
		return nil, err
	}
	large, err := l.memoryOf(ctx, "m2", rows)
	if err != nil {
		return nil, err
	}
	line := func(name string, a, b float64) {
		r.row(name, number(a)+" MiB", number(b)+" MiB", number(b/a))
	}
	r.table("", "process", fmt.Sprintf("%d rows", rows/memoryRatio), fmt.Sprintf("%d rows", rows), "ratio")
	line("ingest", small.ingest, large.ingest)
	line("consumer", small.consumer, large.consumer)
	line("NATS (both runs)", small.nats, large.nats)
	r.row("commit to last marker", number(small.seconds)+" s", number(large.seconds)+" s", "")
	r.notes = []string{"Goals: ratios at most 1.25, ingest and consumer at most 96 MiB each.", ""}
	r.add("ingest_rss_100k", small.ingest, "MiB")
	r.add("ingest_rss_5m", large.ingest, "MiB")
	r.add("consumer_rss_100k", small.consumer, "MiB")
	r.add("consumer_rss_5m", large.consumer, "MiB")
	r.add("memory_ratio_ingest", large.ingest/small.ingest, "ratio")
	r.add("memory_ratio_consumer", large.consumer/small.consumer, "ratio")
	return r, nil
}

// memoryOf lets one transaction flow through fresh processes. name is that of the source and of the table.
func (l *lab) memoryOf(ctx context.Context, name string, rows int) (peak, error) {
	l.say("one transaction of %d rows", rows)
	if err := l.exec(ctx, fmt.Sprintf(tableSQL, name)); err != nil {
		return peak{}, err
	}
	source := topology.Source(name)
	ingest, err := l.ingest(ctx, source)
	if err != nil {
		return peak{}, err
	}
	defer ingest.stop()
	consumer, err := l.consumer(ctx, source)
	if err != nil {
		return peak{}, err
	}
	defer consumer.stop()
	var shapes []*shape
	for _, where := range []string{"", fmt.Sprintf("kind < %d", kinds/3), "customer = 42"} {
		s, err := l.create(ctx, source, client.Definition{Table: name, Where: where})
		if err != nil {
			return peak{}, err
		}
		shapes = append(shapes, s)
	}
	if err := l.writeBig(ctx, name, rows); err != nil {
		return peak{}, err
	}
	committed := time.Now()
	l.say("committed")
	last := committed
	for _, s := range shapes {
		query := "SELECT count(*) FROM " + name
		if where := s.Info().Where; where != "" {
			query += " WHERE " + where
		}
		if s.want, err = l.count(ctx, query); err != nil {
			return peak{}, err
		}
	}
	for _, s := range shapes {
		err := poll(ctx, pollEvery, fmt.Sprintf("all %d rows are in the log of shape %s", s.want, s.Handle()), func() (bool, error) {
			since, ok, err := l.complete(ctx, s)
			if ok && since.After(last) {
				last = since
			}
			return ok, err
		})
		if err != nil {
			return peak{}, err
		}
		l.say("%d rows are in the log of the shape with %q", s.want, s.Info().Where)
	}
	out := peak{seconds: last.Sub(committed).Seconds()}
	for _, p := range []struct {
		of   *process
		peak *float64
	}{{ingest, &out.ingest}, {consumer, &out.consumer}, {l.nats, &out.nats}} {
		if *p.peak, err = peakMemory(p.of.Pid()); err != nil {
			return peak{}, err
		}
	}
	return out, nil
}
