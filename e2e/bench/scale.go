package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/topology"
)

// scale is the size of the bench of several consumers.
type scale struct {
	shapes, logs []int // each of them with each
	rate         int
	period       time.Duration
}

// numbers is a flag of whole numbers with commas between.
type numbers []int

func (n *numbers) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*n)), " ", ","), "[]")
}

func (n *numbers) Set(text string) error {
	*n = nil
	for part := range strings.SplitSeq(text, ",") {
		v, err := strconv.Atoi(part)
		if err != nil || v < 1 {
			return fmt.Errorf("%q: want numbers from 1 on, with commas between", text)
		}
		*n = append(*n, v)
	}
	return nil
}

// scaleFlags returns the bench of several consumers.
func scaleFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	s := scale{shapes: []int{1000, 10_000}, logs: []int{1, 4}}
	flags.Var((*numbers)(&s.shapes), "shapes", "shapes, of one table, each of another customer")
	flags.Var((*numbers)(&s.logs), "logs", "rows of a transaction, each in a shape of its own")
	flags.IntVar(&s.rate, "rate", 500, "transactions a second")
	flags.DurationVar(&s.period, "period", 20*time.Second, "how long they are written, with each number of consumers")
	return func(ctx context.Context, env *common) (*report, error) {
		if s.rate < 1 || s.period < 2*time.Second || slices.Min(s.shapes) < slices.Max(s.logs) {
			return nil, errors.New("-rate must be at least 1, -period two seconds, and -shapes no fewer than -logs")
		}
		return s.run(ctx, env)
	}
}

// scaleTo is how many consumers share the partitions, one number after another.
var scaleTo = []int{1, 2, 4} //nolint:gochecknoglobals // a constant that Go has no syntax for

// shared is what was measured with a number of consumers.
type shared struct {
	consumers []float64 // CPU s of each
	nats      float64
	ingest    float64
	messages  float64 // of shape logs
	seconds   float64
	lost      int
	trips     *trips
}

// all is the CPU of all consumers, and largest that of the one that used most, in seconds.
func (s *shared) all() (all, largest float64) {
	for _, c := range s.consumers {
		all += c
	}
	return all, slices.Max(s.consumers)
}

// run has the same traffic written by 1, 2 and 4 consumers.
func (s *scale) run(ctx context.Context, env *common) (r *report, err error) {
	r = &report{title: fmt.Sprintf("Consumers that share 8 partitions: %d transactions a second for %s, each row in a shape of its own", s.rate, s.period)}
	r.table("", "shapes", "logs a transaction", "consumers", "CPU of each, % of a core", "all", "NATS", "ingest", "log messages/s", "COMMIT → log, ms: p50", "p99")
	var share, overhead, lost float64
	for _, shapes := range s.shapes {
		if err := s.with(ctx, env, r, shapes, &share, &overhead, &lost); err != nil {
			return nil, err
		}
	}
	r.notes = []string{"Goals: with 4 consumers the busiest has at most 35 % of their CPU (25 % is ideal), and all use at most 1.5 times what one does.", ""}
	r.add("scale_consumer_cpu_share_4", share, "ratio")
	r.add("scale_overhead_4", overhead, "ratio")
	r.add("scale_rows_lost", lost, "rows")
	return r, nil
}

// with measures with a number of shapes. It raises the worst figures so far.
func (s *scale) with(ctx context.Context, env *common, r *report, shapes int, share, overhead, lost *float64) (err error) {
	ctx, l, err := openLab(ctx, env, 2<<30, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return err
	}
	if r.machine == "" {
		if r.machine, err = l.machine(ctx); err != nil {
			return err
		}
	}
	const source, table = topology.Source("scale"), "scale"
	if err := l.exec(ctx, fmt.Sprintf(tableSQL+"; CREATE INDEX ON %[1]s (customer)", table)); err != nil {
		return err
	}
	ingest, err := l.ingest(ctx, source)
	if err != nil {
		return err
	}
	var members []*process
	more := func() error {
		p, err := l.consumer(ctx, source, "--partitions", "8")
		members = append(members, p)
		return err
	}
	if err := more(); err != nil {
		return err
	}
	l.say("creating %d shapes", shapes)
	m := &manyShapes{shapes: shapes}
	if err := m.create(ctx, l, source, table); err != nil {
		return err
	}
	if err := l.awaitLive(ctx, members[0], shapes); err != nil {
		return err
	}
	one := map[int]float64{} // CPU of one consumer, by logs
	first := 0               // id of the next row
	for _, n := range scaleTo {
		for len(members) < n {
			if err := more(); err != nil {
				return err
			}
		}
		if err := (&takeover{partitions: 8}).shared(ctx, members); err != nil {
			return err
		}
		err := poll(ctx, pollEvery, fmt.Sprintf("%d shapes are live again", shapes), func() (bool, error) {
			live := 0.0
			for _, p := range members {
				n, err := p.metric(ctx, "shapebus_consumer_shapes_live")
				if err != nil {
					return false, err
				}
				live += n
			}
			return live == float64(shapes), nil
		})
		if err != nil {
			return err
		}
		for _, logs := range s.logs {
			l.say("%d consumers, %d logs a transaction", n, logs)
			got, err := s.measure(ctx, l, source, table, shapes, logs, first, members, ingest)
			if err != nil {
				return err
			}
			first += len(got.trips.due) * logs
			all, largest := got.all()
			*lost += float64(got.lost)
			percent := func(cpu float64) string { return number(cpu / got.seconds * 100) }
			var each []string
			for _, c := range got.consumers {
				each = append(each, percent(c))
			}
			r.row(strconv.Itoa(shapes), strconv.Itoa(logs), strconv.Itoa(n), strings.Join(each, " "), percent(all), percent(got.nats), percent(got.ingest),
				number(got.messages/got.seconds), number(millis(percentile(got.trips.whole, 0.5))), number(millis(percentile(got.trips.whole, 0.99))))
			switch n {
			case 1:
				one[logs] = all
			case slices.Max(scaleTo):
				*share, *overhead = max(*share, largest/all), max(*overhead, all/one[logs])
			}
		}
	}
	return nil
}

// measure writes transactions, whose rows have ids from first on, while the members share the partitions.
func (s *scale) measure(ctx context.Context, l *lab, source topology.Source, table string, shapes, logs, first int, members []*process, ingest *process) (*shared, error) {
	procs := map[string]*process{"NATS": l.nats, "ingest": ingest}
	for i, p := range members {
		procs[strconv.Itoa(i)] = p
	}
	appended := func() (n float64, err error) {
		for _, p := range members {
			v, err := p.metric(ctx, "shapebus_consumer_appended_messages_total")
			if err != nil {
				return 0, err
			}
			n += v
		}
		return n, nil
	}
	ends, err := l.partitions(ctx, source)
	if err != nil {
		return nil, err
	}
	messages, err := appended()
	if err != nil {
		return nil, err
	}
	before, err := usages(procs)
	if err != nil {
		return nil, err
	}
	n := int(s.period.Seconds() * float64(s.rate))
	t := newTrips(n, s.rate)
	began := time.Now()
	if err := s.write(ctx, l, t, table, shapes, logs, first); err != nil {
		return nil, err
	}
	seconds := time.Since(began).Seconds()
	after, err := usages(procs)
	if err != nil {
		return nil, err
	}
	missing, err := s.readRows(ctx, l, source, t, logs, first, ends)
	if err != nil {
		return nil, err
	}
	then, err := appended()
	if err != nil {
		return nil, err
	}
	t.sum(0)
	got := &shared{nats: after["NATS"] - before["NATS"], ingest: after["ingest"] - before["ingest"], messages: then - messages, seconds: seconds, lost: missing, trips: t}
	for i := range members {
		got.consumers = append(got.consumers, after[strconv.Itoa(i)]-before[strconv.Itoa(i)])
	}
	return got, nil
}

// readRows notes when each transaction was in all of its logs, which say by themselves when they were written, and returns how many rows are in
// none. The logs are complete soon after the last commit.
func (s *scale) readRows(ctx context.Context, l *lab, source topology.Source, t *trips, logs, first int, ends []uint64) (missing int, err error) {
	last := time.Now()
	for {
		err := poll(ctx, pollEvery, "the logs are complete", func() (bool, error) { return time.Since(last) > settleFor/8, nil })
		if err != nil {
			return 0, err
		}
		rows := newTrips(first+len(t.due)*logs, s.rate)
		rows.committed, missing = t.committed, len(t.due)*logs
		for p, end := range ends {
			if err := rows.readStored(ctx, l, source, p, end+1, &missing); err != nil {
				return 0, err
			}
		}
		if missing == 0 || time.Since(last) > settleFor {
			t.takeRows(rows.received[first:], logs)
			return missing, nil
		}
	}
}

// takeRows notes when the last row of each transaction was in its log.
func (t *trips) takeRows(received []time.Time, logs int) {
	for i := range t.received {
		t.received[i] = slices.MaxFunc(received[i*logs:(i+1)*logs], time.Time.Compare)
		for _, at := range received[i*logs : (i+1)*logs] {
			if at.IsZero() { // it is counted as lost; the time of the others says nothing
				t.received[i] = t.sent[i]
			}
		}
	}
}

// write writes the transactions when they are due.
func (s *scale) write(ctx context.Context, l *lab, t *trips, table string, shapes, logs, first int) error {
	group, ctx := errgroup.WithContext(ctx)
	jobs := make(chan int, len(t.due))
	group.Go(func() error { defer close(jobs); return t.pace(ctx, jobs) })
	sql := fmt.Sprintf("INSERT INTO %s SELECT i, 1, (i * 7919) %% %d, left(md5(i::text) || md5((-i)::text), 62) FROM generate_series($1::bigint, $2::bigint) i", table, shapes)
	for range writers {
		group.Go(func() (err error) {
			conn, err := pgx.Connect(ctx, l.url)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
			for i := range jobs {
				tx, err := conn.Begin(ctx)
				if err != nil {
					return err
				}
				if _, err := tx.Exec(ctx, sql, first+i*logs, first+(i+1)*logs-1); err != nil {
					return err
				}
				t.sent[i] = time.Now()
				if err := tx.Commit(ctx); err != nil {
					return err
				}
				t.committed[i] = time.Now()
			}
			return nil
		})
	}
	return group.Wait()
}
