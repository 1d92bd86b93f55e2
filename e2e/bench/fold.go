package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// foldRatio is how much larger the large shape is than the small one whose folds' memory is compared.
const foldRatio = 100

// folding is the size of the bench of logs that are folded.
type folding struct {
	rows, changed, times, transactions, rate int
}

// foldFlags returns the bench of folds.
func foldFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	var f folding
	flags.IntVar(&f.rows, "rows", 3_000_000, "rows of the large shape; the small one has a hundredth")
	flags.IntVar(&f.changed, "changed", 50_000, "rows of the shape that is changed all the time")
	flags.IntVar(&f.times, "times", 100, "times that each of its rows is changed")
	flags.IntVar(&f.transactions, "transactions", 5000, "transactions beside the folds of the large shape")
	flags.IntVar(&f.rate, "rate", 200, "of them in a second")
	return func(ctx context.Context, env *common) (*report, error) {
		if f.rows < foldRatio || f.changed < 1 || f.times < 1 || f.transactions < 1 || f.rate < 1 {
			return nil, fmt.Errorf("-rows must be at least %d, the others 1", foldRatio)
		}
		return f.run(ctx, env)
	}
}

const foldSource = topology.Source("fold")

// foldConsumer starts a consumer that folds when it is asked to, and by itself if factor says so.
func (l *lab) foldConsumer(ctx context.Context, factor string) (*process, error) {
	return l.consumer(ctx, foldSource, "--partitions", "1", "--fold-factor", factor, "--fold-least", "64KiB", "--fold-grace", "1s", "--sync-interval", "1s")
}

func (f *folding) run(ctx context.Context, env *common) (r *report, err error) {
	// As in memory; of the changes only what the change log holds is there at a time.
	const perRow, base = 910, 5 << 30
	ctx, l, err := openLab(ctx, env, uint64(f.rows)*perRow+base, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{title: "Logs that are folded"}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	if _, err := l.ingest(ctx, foldSource); err != nil {
		return nil, err
	}
	if err := f.grown(ctx, l, r); err != nil {
		return nil, err
	}
	if err := f.large(ctx, l, r); err != nil {
		return nil, err
	}
	r.notes = []string{"Goals: fold_bytes_ratio at most 8, fold_catchup_ratio 1.5, fold_rss_ratio 1.25, fold_canary_p99_ratio 2.", ""}
	return r, nil
}

// grown changes each row of a shape many times, and measures what the shape takes on disk and how long a new reader reads.
func (f *folding) grown(ctx context.Context, l *lab, r *report) error {
	consumer, err := l.foldConsumer(ctx, "4")
	if err != nil {
		return err
	}
	defer consumer.stop()
	const table = "grown"
	if err := l.exec(ctx, fmt.Sprintf(tableSQL, table)); err != nil {
		return err
	}
	if err := l.writeBig(ctx, table, f.changed); err != nil {
		return err
	}
	s, err := l.create(ctx, foldSource, client.Definition{Table: table})
	if err != nil {
		return err
	}
	l.say("changing each of %d rows %d times", f.changed, f.times)
	var most uint64
	for i := range f.times {
		if err := l.exec(ctx, fmt.Sprintf("UPDATE %s SET payload = left(md5((id + %d)::text) || md5((-id - %[2]d)::text), 62)", table, i)); err != nil {
			return err
		}
		// Else the log would be behind what is measured. A machine that is busy may let a question go unanswered.
		err := l.settle(ctx, s)
		for attempt := 1; err != nil && attempt < 5; attempt++ {
			err = l.settle(ctx, s)
		}
		if err != nil {
			return err
		}
		bytes, err := l.partitionBytes(ctx)
		if err != nil {
			return err
		}
		most = max(most, bytes)
	}
	bytes, err := l.bytesAtRest(ctx)
	if err != nil {
		return err
	}
	info, err := s.Refresh(ctx)
	if err != nil {
		return err
	}
	grown, err := medianRead(ctx, s)
	if err != nil {
		return err
	}
	size, err := l.fold(ctx, s)
	if err != nil {
		return err
	}
	folded, err := medianRead(ctx, s)
	if err != nil {
		return err
	}
	fresh, err := l.create(ctx, foldSource, client.Definition{Table: table, Where: "id > 0"})
	if err != nil {
		return err
	}
	begun, err := medianRead(ctx, fresh)
	if err != nil {
		return err
	}
	rows := float64(size)
	r.table(fmt.Sprintf("%d rows, each changed %d times; the log was folded %d times", f.changed, f.times, info.Generation),
		"MiB of rows", "of changes", "on disk", "at most", "new reader, ms", "behind a fold", "of a fresh shape")
	const mib = 1 << 20
	r.row(number(rows/mib), number(float64(info.LogBytes)/mib), number(float64(bytes)/mib), number(float64(most)/mib), number(millis(grown)), number(millis(folded)), number(millis(begun)))
	r.add("fold_bytes_ratio", float64(bytes)/rows, "ratio")
	r.add("fold_bytes_most_ratio", float64(most)/rows, "ratio")
	r.add("fold_catchup_ratio", float64(folded)/float64(begun), "ratio")
	r.add("fold_catchup_grown_ratio", float64(grown)/float64(begun), "ratio")
	return nil
}

// partitionBytes is what the one partition takes.
func (l *lab) partitionBytes(ctx context.Context) (uint64, error) {
	st, err := l.js.Stream(ctx, foldSource.ShapeStream(0))
	if err != nil {
		return 0, err
	}
	return st.CachedInfo().State.Bytes, nil
}

// bytesAtRest is what the partition takes when folds have removed what they replace: the grace is over, and JetStream has given no
// more room back for some seconds.
func (l *lab) bytesAtRest(ctx context.Context) (bytes uint64, err error) {
	const still = 5 * time.Second
	since := time.Now()
	err = poll(ctx, pollEvery, "what folds have replaced is gone", func() (bool, error) {
		now, err := l.partitionBytes(ctx)
		if now != bytes {
			bytes, since = now, time.Now()
		}
		return time.Since(since) > still, err
	})
	return bytes, err
}

// fold has a log folded, and returns how large the rows are.
func (l *lab) fold(ctx context.Context, s *shape) (size int64, err error) {
	cl, err := client.New(l.nc, string(foldSource))
	if err != nil {
		return 0, err
	}
	info, err := cl.Fold(ctx, s.Handle())
	if err != nil {
		return 0, err
	}
	from := info.Generation
	err = poll(ctx, pollEvery/5, "the log is folded", func() (bool, error) {
		info, err := s.Refresh(ctx)
		if err == nil && info.Fold != nil && info.Fold.Error != "" {
			err = errors.New(info.Fold.Error)
		}
		return info.Generation > from && info.Fold == nil, err
	})
	if err != nil {
		return 0, err
	}
	st, err := l.js.Stream(ctx, foldSource.ShapeStream(info.Partition))
	if err != nil {
		return 0, err
	}
	m, err := st.GetLastMsgForSubject(ctx, foldSource.GenerationSubject(info.Partition, info.Handle))
	if err != nil {
		return 0, err
	}
	g, err := wire.DecodeGeneration(m.Data)
	if err != nil {
		return 0, err
	}
	return g.Size, nil
}

// medianRead is how long somebody takes to read a shape from the beginning to its end.
func medianRead(ctx context.Context, s *shape) (time.Duration, error) {
	var took []time.Duration
	for range 15 {
		began := time.Now()
		if _, err := countRows(ctx, s.Shape); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return percentile(took, 0.5), nil
}

// large folds a small shape and a large one, and measures the consumer's memory and how long others wait beside that.
func (f *folding) large(ctx context.Context, l *lab, r *report) error {
	var shapes []*shape
	consumer, err := l.foldConsumer(ctx, "0")
	if err != nil {
		return err
	}
	for _, c := range []struct {
		table string
		rows  int
	}{{"small", f.rows / foldRatio}, {"large", f.rows}} {
		l.say("a shape of %d rows", c.rows)
		if err := l.exec(ctx, fmt.Sprintf(tableSQL, c.table)); err != nil {
			return err
		}
		if err := l.writeBig(ctx, c.table, c.rows); err != nil {
			return err
		}
		s, err := l.create(ctx, foldSource, client.Definition{Table: c.table})
		if err != nil {
			return err
		}
		if err := l.exec(ctx, "UPDATE "+c.table+" SET payload = 'changed' WHERE id = 1"); err != nil { // a log without changes is not folded
			return err
		}
		if err := l.settle(ctx, s); err != nil {
			return err
		}
		shapes = append(shapes, s)
	}
	var peaks []float64
	var took []time.Duration
	for _, s := range shapes {
		consumer.stop()
		if consumer, err = l.foldConsumer(ctx, "0"); err != nil {
			return err
		}
		if err := l.settle(ctx, s); err != nil {
			return err
		}
		began := time.Now()
		if _, err := l.fold(ctx, s); err != nil {
			return err
		}
		took = append(took, time.Since(began))
		peak, err := peakMemory(consumer.Pid())
		if err != nil {
			return err
		}
		peaks = append(peaks, peak)
	}
	defer consumer.stop()
	r.table("A fold in a consumer of its own", "rows", "peak MiB", "s")
	for i, n := range []int{f.rows / foldRatio, f.rows} {
		r.row(strconv.Itoa(n), number(peaks[i]), number(took[i].Seconds()))
	}
	r.add("fold_rss_ratio", peaks[1]/peaks[0], "ratio")
	r.add("fold_rss_large", peaks[1], "MiB")
	r.add("fold_large_s", took[1].Seconds(), "s")
	return f.canary(ctx, l, r, shapes[1])
}

// canary measures the latency of a shape in the same partition, without and with folds of the large shape beside it.
func (f *folding) canary(ctx context.Context, l *lab, r *report, large *shape) error {
	var p99 [2]float64
	r.table("Latency of another shape of the partition, ms", "beside", "p50", "p99", "max", "folds meanwhile")
	for i, name := range []string{"nothing", "folds of the large shape"} {
		table := fmt.Sprint("canary", i)
		if err := l.exec(ctx, fmt.Sprintf(tableSQL, table)); err != nil {
			return err
		}
		s, err := l.create(ctx, foldSource, client.Definition{Table: table})
		if err != nil {
			return err
		}
		l.say("%d transactions beside %s", f.transactions, name)
		t := newTrips(warmUp+f.transactions, f.rate)
		folds := 0
		beside, stop := context.WithCancel(ctx)
		var group errgroup.Group
		if i == 1 {
			group.Go(func() error {
				for beside.Err() == nil {
					if _, err := l.fold(beside, large); err != nil && beside.Err() == nil {
						return err
					}
					folds++
				}
				return nil
			})
		}
		err = t.run(ctx, l.url, table, s.Shape)
		stop()
		if err := errors.Join(err, group.Wait()); err != nil {
			return err
		}
		t.sum(warmUp)
		p99[i] = millis(percentile(t.whole, 0.99))
		r.row(name, number(millis(percentile(t.whole, 0.5))), number(p99[i]), number(millis(percentile(t.whole, 1))), strconv.Itoa(folds))
	}
	r.add("fold_canary_p99_ratio", p99[1]/p99[0], "ratio")
	r.add("fold_canary_p99_ms", p99[1], "ms")
	return nil
}
