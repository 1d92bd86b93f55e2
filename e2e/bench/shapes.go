package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// creators ask for shapes at the same time.
const creators = 32

// manyShapes is the size of the bench of many shapes.
type manyShapes struct {
	shapes, rate int
	period       time.Duration
}

// shapesFlags returns the bench of many shapes.
func shapesFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	var m manyShapes
	flags.IntVar(&m.shapes, "shapes", 10_000, "shapes, of one table, each of another customer")
	flags.IntVar(&m.rate, "rate", 1000, "rows a second, each in a transaction of its own and in one shape")
	flags.DurationVar(&m.period, "period", time.Minute, "how long rows are written")
	return func(ctx context.Context, env *common) (*report, error) {
		if m.shapes < 1 || m.rate < 1 || m.period < 2*time.Second {
			return nil, errors.New("-shapes and -rate must be at least 1, -period two seconds")
		}
		return m.run(ctx, env)
	}
}

// run creates many shapes, writes rows that each belong to one of them, and starts the consumer again.
func (m *manyShapes) run(ctx context.Context, env *common) (r *report, err error) {
	ctx, l, err := openLab(ctx, env, 2<<30, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{title: fmt.Sprintf("%d live shapes of one table, %d rows a second for %s, each row in one of them", m.shapes, m.rate, m.period)}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	const source, table = topology.Source("many"), "many"
	if err := l.exec(ctx, fmt.Sprintf(tableSQL+"; CREATE INDEX ON %[1]s (customer)", table)); err != nil {
		return nil, err
	}
	// A row for each shape's snapshot.
	if err := l.exec(ctx, fmt.Sprintf("INSERT INTO %s SELECT -i, 1, i - 1, 'the first' FROM generate_series(1, %d) i", table, m.shapes)); err != nil {
		return nil, err
	}
	ingest, err := l.ingest(ctx, source)
	if err != nil {
		return nil, err
	}
	consumer, err := l.consumer(ctx, source)
	if err != nil {
		return nil, err
	}
	procs := map[string]*process{"ingest": ingest, "consumer": consumer, "NATS": l.nats}
	r.table("", "", "", "")

	l.say("creating %d shapes", m.shapes)
	before, err := usages(procs)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := m.create(ctx, l, source, table); err != nil {
		return nil, err
	}
	if err := l.awaitLive(ctx, consumer, m.shapes); err != nil {
		return nil, err
	}
	took := time.Since(began)
	after, err := usages(procs)
	if err != nil {
		return nil, err
	}
	created := float64(m.shapes) / took.Seconds()
	r.row("creation", number(created)+" shapes/s", "CPU ms a shape: "+spent(before, after, float64(m.shapes)))
	r.add("shapes_created_per_s", created, "1/s")

	l.say("%.0f shapes a second; %d rows a second", created, m.rate)
	before = after
	trips, err := m.write(ctx, l, source, table)
	if err != nil {
		return nil, err
	}
	if after, err = usages(procs); err != nil {
		return nil, err
	}
	trips.sum(m.rate) // the first second is to warm up
	p50, p99 := millis(percentile(trips.whole, 0.5)), millis(percentile(trips.whole, 0.99))
	r.row("COMMIT → log, ms", "p50 "+number(p50)+", p99 "+number(p99)+", max "+number(millis(percentile(trips.whole, 1))),
		"CPU ms a row: "+spent(before, after, float64(len(trips.due))))
	r.add("shapes_latency_p50_ms", p50, "ms")
	r.add("shapes_latency_p99_ms", p99, "ms")
	r.add("shapes_rows_per_s", trips.rate, "1/s")
	r.add("shapes_consumer_cpu", (after["consumer"]-before["consumer"])/m.period.Seconds()*100, "%")
	peak, err := peakMemory(consumer.Pid())
	if err != nil {
		return nil, err
	}
	r.row("memory", number(peak)+" MiB", "peak of the consumer")
	r.add("shapes_consumer_rss", peak, "MiB")

	l.say("restarting the consumer")
	consumer.stop()
	before, err = usages(map[string]*process{"NATS": l.nats})
	if err != nil {
		return nil, err
	}
	began = time.Now()
	if consumer, err = l.consumer(ctx, source); err != nil {
		return nil, err
	}
	if err := l.awaitLive(ctx, consumer, m.shapes); err != nil {
		return nil, err
	}
	restart := time.Since(began).Seconds()
	if peak, err = peakMemory(consumer.Pid()); err != nil {
		return nil, err
	}
	if after, err = usages(map[string]*process{"NATS": l.nats, "consumer": consumer}); err != nil {
		return nil, err
	}
	r.row("restart", number(restart)+" s", fmt.Sprintf("until all are live; peak %s MiB; CPU s: consumer %s, NATS %s",
		number(peak), number(after["consumer"]), number(after["NATS"]-before["NATS"])))
	r.add("shapes_restart_s", restart, "s")
	r.add("shapes_restart_rss", peak, "MiB")
	r.notes = []string{"Goals: at least 200 shapes created a second; a restart takes seconds.", ""}
	return r, nil
}

// usages are the CPU times of processes so far, in seconds.
func usages(procs map[string]*process) (map[string]float64, error) {
	out := map[string]float64{}
	for name, p := range procs {
		s, err := cpuTime(p.Pid())
		if err != nil {
			return nil, err
		}
		out[name] = s
	}
	return out, nil
}

// spent says what was used in between, per thing.
func spent(before, after map[string]float64, things float64) string {
	var parts []string
	for _, name := range []string{"ingest", "consumer", "NATS"} {
		parts = append(parts, fmt.Sprintf("%s %s", name, number((after[name]-before[name])*1000/things)))
	}
	return strings.Join(parts, ", ")
}

// create asks for all shapes, many at a time.
func (m *manyShapes) create(ctx context.Context, l *lab, source topology.Source, table string) error {
	cl, err := client.New(l.nc, string(source))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range m.shapes {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			_, err := cl.Create(ctx, client.Definition{Table: table, Where: "customer = $1", Params: []any{strconv.Itoa(i)}})
			return err
		})
	}
	return group.Wait()
}

// awaitLive waits until a consumer says that so many shapes are live.
func (l *lab) awaitLive(ctx context.Context, consumer *process, n int) error {
	return poll(ctx, pollEvery/5, fmt.Sprintf("%d shapes are live", n), func() (bool, error) {
		live, ok := consumer.gauge(ctx, "shapebus_consumer_shapes_live")
		return ok && live == float64(n), nil
	})
}

// gauge is the value of a metric of the process. ok is false without an answer.
func (p *process) gauge(ctx context.Context, metric string) (value float64, ok bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics, http.NoBody)
	if err != nil {
		return 0, false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, false
	}
	text, err := io.ReadAll(resp.Body)
	if errors.Join(err, resp.Body.Close()) != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, metric+"{"); found {
			_, number, _ := strings.Cut(rest, "} ")
			value, err = strconv.ParseFloat(strings.TrimSpace(number), 64)
			return value, err == nil
		}
	}
	return 0, false
}

// write writes the rows and returns when each was sent and when JetStream stored it in its shape's log.
func (m *manyShapes) write(ctx context.Context, l *lab, source topology.Source, table string) (*trips, error) {
	t := newTrips(int(m.period.Seconds()*float64(m.rate)), m.rate)
	ends, err := l.partitions(ctx, source)
	if err != nil {
		return nil, err
	}
	group, writing := errgroup.WithContext(ctx)
	jobs := make(chan int, len(t.due))
	group.Go(func() error { defer close(jobs); return t.pace(writing, jobs) })
	for range writers {
		group.Go(func() error { return m.insert(writing, l.url, table, t, jobs) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	// The logs say by themselves when they were written. They are complete soon after the last commit.
	missing := len(t.due)
	for p, end := range ends {
		if err := t.readStored(ctx, l, source, p, end+1, &missing); err != nil {
			return nil, err
		}
	}
	if missing > 0 {
		return nil, fmt.Errorf("%d rows are in no log", missing)
	}
	return t, nil
}

// partitions returns the last sequence of each partition's stream.
func (l *lab) partitions(ctx context.Context, source topology.Source) ([]uint64, error) {
	var ends []uint64
	for {
		st, err := l.js.Stream(ctx, source.ShapeStream(len(ends)))
		if err != nil && len(ends) > 0 {
			return ends, nil // there is no such partition
		}
		if err != nil {
			return nil, err
		}
		ends = append(ends, st.CachedInfo().State.LastSeq)
	}
}

func (m *manyShapes) insert(ctx context.Context, url, table string, t *trips, jobs <-chan int) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	sql := fmt.Sprintf("INSERT INTO %s VALUES ($1::bigint, 1, $2, left(md5($1::bigint::text) || md5((-$1::bigint)::text), 62))", table)
	for i := range jobs {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sql, i, i*7919%m.shapes); err != nil {
			return err
		}
		t.sent[i] = time.Now()
		if err := tx.Commit(ctx); err != nil {
			return err
		}
		t.committed[i] = time.Now()
	}
	return nil
}

// settleFor is how long a log may take to hold the last row.
const settleFor = 20 * time.Second

// readStored reads a partition's logs from a sequence on and notes when each row was stored, until nothing has come for a moment and
// the consumer has had its time. Checkpoints replace each other in the same stream, so it is not read as a whole.
func (t *trips) readStored(ctx context.Context, l *lab, source topology.Source, p int, from uint64, missing *int) error {
	last := slices.MaxFunc(t.committed, time.Time.Compare)
	consumer, err := l.js.OrderedConsumer(ctx, source.ShapeStream(p), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, FilterSubjects: []string{source.LogSubjects(p)},
	})
	if err != nil {
		return err
	}
	it, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer it.Stop()
	var d wire.LogDecoder
	for *missing > 0 {
		waiting, cancel := context.WithTimeout(ctx, time.Second)
		m, err := it.Next(jetstream.NextContext(waiting))
		cancel()
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			if time.Since(last) > settleFor {
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		md, err := m.Metadata()
		if err != nil {
			return err
		}
		err = d.Decode(m.Data(), func(e *wire.Entry) error {
			for _, op := range e.Ops {
				i, err := strconv.Atoi(string(op.Row[0]))
				if err != nil || i < 0 || i >= len(t.received) || !t.received[i].IsZero() {
					return fmt.Errorf("a log holds a row with id %q, which is none or came before", op.Row[0])
				}
				t.received[i] = md.Timestamp
				*missing--
			}
			return nil
		})
		if err != nil {
			return err
		}
		if md.NumPending == 0 && time.Since(last) > settleFor/10 {
			return nil
		}
	}
	return nil
}
