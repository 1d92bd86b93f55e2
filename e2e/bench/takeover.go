package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// takeover is the size of the bench of what readers see when a consumer goes.
type takeover struct {
	shapes, partitions, runs int
}

// takeoverFlags returns the bench of consumers that go.
func takeoverFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	var t takeover
	flags.IntVar(&t.shapes, "shapes", 1000, "shapes in each partition, more or less")
	flags.IntVar(&t.partitions, "partitions", 4, "partitions, shared by two consumers")
	flags.IntVar(&t.runs, "runs", 20, "times that a consumer goes, in each way")
	return func(ctx context.Context, env *common) (*report, error) {
		if t.shapes < 1 || t.partitions < 2 || t.partitions > 32 || t.runs < 1 {
			return nil, errors.New("-shapes and -runs must be at least 1, -partitions 2 to 32")
		}
		return t.run(ctx, env)
	}
}

// ways are how a consumer goes.
var ways = []struct {
	name, figure string
	signal       syscall.Signal
	goal         int // ms
}{
	{"stopped (SIGTERM)", "stop", syscall.SIGTERM, 1000},
	{"killed (SIGKILL)", "kill", syscall.SIGKILL, 2000},
	{"frozen (SIGSTOP)", "freeze", syscall.SIGSTOP, 5000},
}

const (
	// beat is how often the rows change that the readers wait for.
	beat = 10 * time.Millisecond
	// takeoverTime bounds what a partition may stand still.
	takeoverTime = time.Minute
)

// run has one of two consumers go, again and again, and measures how long its shapes stand still.
func (t *takeover) run(ctx context.Context, env *common) (r *report, err error) {
	ctx, l, err := openLab(ctx, env, 1<<30, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{title: fmt.Sprintf("%d consumers with %d partitions of about %d shapes; one goes: how long a reader of its shapes gets nothing, in ms", 2, t.partitions, t.shapes)}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	const source, table = topology.Source("takeover"), "takeover"
	all := t.shapes * t.partitions
	if err := l.exec(ctx, fmt.Sprintf(tableSQL+"; CREATE INDEX ON %[1]s (customer); INSERT INTO %[1]s SELECT i, 1, i, 'the first' FROM generate_series(1, %d) i", table, all)); err != nil {
		return nil, err
	}
	if _, err := l.ingest(ctx, source); err != nil {
		return nil, err
	}
	start := func() (*process, error) {
		return l.consumer(ctx, source, "--partitions", strconv.Itoa(t.partitions), "--checkpoint", "1s")
	}
	first, err := start()
	if err != nil {
		return nil, err
	}
	l.say("creating %d shapes", all)
	watched, err := t.create(ctx, l, source, table, all)
	if err != nil {
		return nil, err
	}
	b := newBeats(watched)
	members := []*process{first}
	if err := b.run(ctx, l, table, func(ctx context.Context) error {
		r.table("", "the consumer is", "p50", "p90", "max", "goal, p50")
		for _, way := range ways {
			l.say("a consumer is %s, %d times", way.name, t.runs)
			var silences []time.Duration
			for range t.runs {
				next, err := start()
				if err != nil {
					return err
				}
				members = append(members, next)
				if err := t.shared(ctx, members); err != nil {
					return err
				}
				if err := b.await(ctx, time.Now()); err != nil {
					return err
				}
				victim := members[0]
				began := time.Now()
				if err := victim.leave(way.signal); err != nil {
					return err
				}
				members = members[1:]
				silence, err := b.silence(ctx, began)
				if err != nil {
					return err
				}
				silences = append(silences, silence)
				if way.signal == syscall.SIGSTOP { // it wakes up, and finds that it is no member any more
					_ = victim.Signal(syscall.SIGCONT)
					_ = victim.End(syscall.SIGKILL, softStop)
				}
			}
			slices.Sort(silences)
			at := func(share float64) float64 { return millis(percentile(silences, share)) }
			r.row(way.name, number(at(0.5)), number(at(0.9)), number(at(1)), strconv.Itoa(way.goal))
			r.add("takeover_"+way.figure+"_ms", at(0.5), "ms")
			r.add("takeover_"+way.figure+"_p90_ms", at(0.9), "ms")
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return r, nil
}

// leave has a process go in some way, and the bench not mind.
func (p *process) leave(signal syscall.Signal) error {
	if signal == syscall.SIGSTOP {
		return p.Signal(os.Signal(signal))
	}
	go func() { _ = p.End(signal, softStop) }() // that it took force does not matter here
	return nil
}

// create makes the shapes and returns one in each partition.
func (t *takeover) create(ctx context.Context, l *lab, source topology.Source, table string, n int) (map[int]*client.Shape, error) {
	cl, err := client.New(l.nc, string(source))
	if err != nil {
		return nil, err
	}
	def := func(i int) client.Definition {
		return client.Definition{Table: table, Where: "customer = $1", Params: []any{strconv.Itoa(i)}}
	}
	if _, err := l.create(ctx, source, def(1)); err != nil { // it brings the table into the publication
		return nil, err
	}
	var mu sync.Mutex
	watched := map[int]*client.Shape{}
	group, creating := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := 2; i <= n; i++ {
		group.Go(func() error {
			s, err := cl.Create(creating, def(i))
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			watched[s.Info().Partition] = s
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if len(watched) < t.partitions {
		return nil, fmt.Errorf("only %d of %d partitions have a shape; more -shapes are needed", len(watched), t.partitions)
	}
	return watched, nil
}

// shared waits until each of the processes has its share.
func (t *takeover) shared(ctx context.Context, members []*process) error {
	waiting, cancel := context.WithTimeout(ctx, takeoverTime)
	defer cancel()
	return poll(waiting, pollEvery/5, "the consumers share the partitions", func() (bool, error) {
		for _, p := range members {
			n, err := p.metric(ctx, "shapebus_consumer_partitions")
			if err != nil || int(n) < t.partitions/len(members) {
				return false, nil //nolint:nilerr // it is asked again
			}
		}
		return true, nil
	})
}

// beats are when readers got the changes of rows that change all the time.
type beats struct {
	shapes map[int]*client.Shape // one in each partition
	mu     sync.Mutex
	at     map[int][]time.Time // by partition
}

func newBeats(shapes map[int]*client.Shape) *beats {
	return &beats{shapes: shapes, at: map[int][]time.Time{}}
}

// run changes the rows and reads the shapes while f runs.
func (b *beats) run(ctx context.Context, l *lab, table string, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var done bool
	group, ctx := errgroup.WithContext(ctx)
	var rows string
	for p, s := range b.shapes {
		if rows != "" {
			rows += ", "
		}
		rows += *s.Info().Params[0]
		group.Go(func() error { return b.read(ctx, p, s) })
	}
	group.Go(func() error {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for n := 0; ; n++ {
			if err := l.exec(ctx, fmt.Sprintf("UPDATE %s SET kind = %d WHERE customer IN (%s)", table, n, rows)); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	})
	group.Go(func() error {
		defer cancel()
		err := f(ctx)
		done = err == nil
		return err
	})
	if err := group.Wait(); err != nil && !done {
		return err
	}
	return nil
}

func (b *beats) read(ctx context.Context, p int, s *client.Shape) error {
	for event, err := range s.Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if _, ok := event.(client.Commit); ok {
			b.mu.Lock()
			b.at[p] = append(b.at[p], time.Now())
			b.mu.Unlock()
		}
	}
	return nil
}

// await waits until every reader has got something since a moment.
func (b *beats) await(ctx context.Context, since time.Time) error {
	waiting, cancel := context.WithTimeout(ctx, takeoverTime)
	defer cancel()
	return poll(waiting, beat, "all readers get changes", func() (bool, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for p := range b.shapes {
			if n := len(b.at[p]); n == 0 || b.at[p][n-1].Before(since) {
				return false, nil
			}
		}
		return true, nil
	})
}

// quiet is how long all readers must have got changes without a pause before a silence counts as over.
const quiet = time.Second

// silence waits until all readers get changes again, and returns the longest time that one of them got nothing since a moment.
func (b *beats) silence(ctx context.Context, since time.Time) (longest time.Duration, err error) {
	waiting, cancel := context.WithTimeout(ctx, takeoverTime)
	defer cancel()
	err = poll(waiting, beat, "the shapes go on", func() (bool, error) {
		if time.Since(since) < missedAfter {
			return false, nil
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		over := true
		longest = 0
		for p := range b.shapes {
			before := since
			for _, at := range append(b.at[p], time.Now()) {
				if at.Before(since) {
					continue
				}
				gap := at.Sub(before)
				longest = max(longest, gap)
				over = over && (gap < quiet/4 || time.Since(at) > quiet)
				before = at
			}
		}
		return over, nil
	})
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = map[int][]time.Time{}
	return longest, nil
}

// missedAfter is when a consumer that is frozen has been missed for certain: its shapes do not stand still at once.
const missedAfter = topology.MemberTTL + 2*time.Second
