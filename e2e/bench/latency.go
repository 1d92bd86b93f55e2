package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

const (
	// writers share the transactions, so that one slow commit does not hold back the next transaction.
	writers = 4
	// warmUp is how many transactions go before those that count.
	warmUp = 100
)

// latencyFlags returns the bench of latency.
func latencyFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	transactions := flags.Int("transactions", 2000, "single-row transactions")
	rate := flags.Int("rate", 200, "transactions started a second")
	return func(ctx context.Context, env *common) (*report, error) {
		if *transactions < 1 || *rate < 1 {
			return nil, errors.New("-transactions and -rate must be at least 1")
		}
		return latency(ctx, env, *transactions, *rate)
	}
}

// latency measures the way of single-row transactions from COMMIT to a client, once without and once with fsync in Postgres: the
// first is what Shapebus adds, the second what somebody sees whose commits wait for that machine's disk.
func latency(ctx context.Context, env *common, transactions, rate int) (*report, error) {
	r := &report{
		title: fmt.Sprintf("Latency of %d single-row transactions at %d a second, in ms, from sending COMMIT to the change in a client's hands", transactions, rate),
		notes: []string{"Goals, without fsync: p50 at most 3 ms, p99 at most 20 ms.", ""},
	}
	r.table("", "Postgres", "p50", "p90", "p99", "max", "COMMIT itself p50", "p99", "a second", "started late by at most")
	for _, c := range []struct {
		name, prefix string
		fsync        bool
	}{{"without fsync", "latency_", false}, {"with fsync", "latency_fsync_", true}} {
		t, err := latencyOf(ctx, env, r, transactions, rate, c.fsync)
		if err != nil {
			return nil, err
		}
		at := func(d []time.Duration, share float64) float64 { return millis(percentile(d, share)) }
		r.row(c.name, number(at(t.whole, 0.5)), number(at(t.whole, 0.9)), number(at(t.whole, 0.99)), number(at(t.whole, 1)),
			number(at(t.commit, 0.5)), number(at(t.commit, 0.99)), number(t.rate), number(millis(t.late)))
		r.add(c.prefix+"p50_ms", at(t.whole, 0.5), "ms")
		r.add(c.prefix+"p99_ms", at(t.whole, 0.99), "ms")
		r.add(c.prefix+"max_ms", at(t.whole, 1), "ms")
	}
	return r, nil
}

func latencyOf(ctx context.Context, env *common, r *report, transactions, rate int, fsync bool) (t *trips, err error) {
	ctx, l, err := openLab(ctx, env, 1<<30, fsync)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	if r.machine == "" {
		if r.machine, err = l.machine(ctx); err != nil {
			return nil, err
		}
	}
	const source, table = topology.Source("latency"), "latency"
	if err := l.exec(ctx, fmt.Sprintf(tableSQL, table)); err != nil {
		return nil, err
	}
	if _, err := l.ingest(ctx, source); err != nil {
		return nil, err
	}
	if _, err := l.consumer(ctx, source); err != nil {
		return nil, err
	}
	s, err := l.create(ctx, source, client.Definition{Table: table})
	if err != nil {
		return nil, err
	}
	l.say("%d transactions, fsync %t", transactions, fsync)
	t = newTrips(warmUp+transactions, rate)
	if err := t.run(ctx, l.url, table, s.Shape); err != nil {
		return nil, err
	}
	t.sum(warmUp)
	return t, nil
}

// trips are the moments of every transaction, and what they come to. Each moment is written by one goroutine and read when
// all have ended.
type trips struct {
	every     time.Duration
	due       []time.Time // when it should have started
	sent      []time.Time // just before COMMIT was sent
	committed []time.Time // when COMMIT had been answered
	received  []time.Time // when the client had handed out the change

	whole, commit []time.Duration // sorted
	late          time.Duration
	rate          float64
}

func newTrips(n, rate int) *trips {
	return &trips{
		every: time.Second / time.Duration(rate),
		due:   make([]time.Time, n), sent: make([]time.Time, n), committed: make([]time.Time, n), received: make([]time.Time, n),
	}
}

// run starts each transaction when it is due, whether or not earlier ones have ended, and returns when the client has them
// all.
func (t *trips) run(ctx context.Context, url, table string, s *client.Shape) error {
	group, ctx := errgroup.WithContext(ctx)
	reading := make(chan struct{})
	group.Go(func() error { return t.read(ctx, s, reading) })
	jobs := make(chan int, len(t.due))
	group.Go(func() error {
		defer close(jobs)
		select {
		case <-reading:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return t.pace(ctx, jobs)
	})
	for range writers {
		group.Go(func() error { return t.write(ctx, url, table, jobs) })
	}
	return group.Wait()
}

// pace hands out the transactions that are due. A tick that came late makes none of them later than it is.
func (t *trips) pace(ctx context.Context, jobs chan<- int) error {
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	start := time.Now()
	for i := 0; i < len(t.due); {
		if due := start.Add(time.Duration(i) * t.every); !due.After(time.Now()) {
			t.due[i] = due
			jobs <- i // has room for all
			i++
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (t *trips) write(ctx context.Context, url, table string, jobs <-chan int) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	insert := fmt.Sprintf("INSERT INTO %s VALUES ($1::bigint, 1, 1, left(md5($1::bigint::text) || md5((-$1::bigint)::text), 62))", table)
	for i := range jobs {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, insert, i); err != nil {
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

// read notes when each row comes, until all have. It closes reading when it has reached the end of the empty log.
func (t *trips) read(ctx context.Context, s *client.Shape, reading chan<- struct{}) error {
	missing := len(t.received)
	for e, err := range s.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
		if err != nil {
			return err
		}
		switch e := e.(type) {
		case client.CaughtUp:
			if missing == len(t.received) && reading != nil {
				close(reading)
				reading = nil
			}
		case client.Change:
			now := time.Now()
			id, _ := e.Row.Text("id")
			i, err := strconv.Atoi(id)
			if err != nil || i >= len(t.received) || !t.received[i].IsZero() {
				return fmt.Errorf("the client received a row with id %q, which is none or came before", id)
			}
			t.received[i] = now
			if missing--; missing == 0 {
				return nil
			}
		}
	}
	return errors.New("the subscription ended")
}

// sum leaves the first transactions out.
func (t *trips) sum(skip int) {
	for i := skip; i < len(t.due); i++ {
		t.whole = append(t.whole, t.received[i].Sub(t.sent[i]))
		t.commit = append(t.commit, t.committed[i].Sub(t.sent[i]))
		t.late = max(t.late, t.sent[i].Sub(t.due[i]))
	}
	slices.Sort(t.whole)
	slices.Sort(t.commit)
	last := len(t.due) - 1
	if took := t.sent[last].Sub(t.sent[skip]); took > 0 {
		t.rate = float64(last-skip) / took.Seconds()
	}
}
