package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// failover is the size of the bench of servers and of an ingest that go.
type failover struct {
	rows, runs   int
	outage, down time.Duration
	only         string
}

// failoverFlags returns the bench of servers that go.
func failoverFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	var f failover
	flags.IntVar(&f.rows, "rows", 300_000, "rows of the large transaction")
	flags.IntVar(&f.runs, "runs", 3, "times of each event")
	flags.DurationVar(&f.outage, "outage", 12*time.Second, "how long the whole NATS cluster is away")
	flags.DurationVar(&f.down, "down", 5*time.Second, "how long Postgres is away")
	flags.StringVar(&f.only, "only", "", "events, comma-separated: leader, shape_leader, large, freeze, cluster, postgres, restart")
	return func(ctx context.Context, env *common) (*report, error) {
		if f.rows < 1 || f.runs < 1 {
			return nil, errors.New("-rows and -runs must be at least 1")
		}
		return f.run(ctx, env)
	}
}

// event is what goes wrong. It returns since when nothing may come, and when its cause was gone; the second is zero where
// the cause stays and the silence counts whole.
type event struct {
	name, figure string
	goal         int // ms
	happen       func(context.Context, *rig) (began, gone time.Time, err error)
	mend         func(context.Context, *rig) error // afterwards
	elects       bool                              // the servers elect leaders
}

// clusterEvents happen to three servers, singleEvents to one.
func (f *failover) clusterEvents() []event {
	return []event{
		{"the leader of the change log is killed", "leader", 10_000, func(ctx context.Context, r *rig) (_, _ time.Time, err error) {
			began, err := r.killLeader(ctx, r.source.ChangeStream())
			return began, time.Time{}, err
		}, restored, true},
		{"the leader of the shape's stream is killed", "shape_leader", 10_000, func(ctx context.Context, r *rig) (_, _ time.Time, err error) {
			began, err := r.killLeader(ctx, r.source.ShapeStream(r.pulse.shape.Info().Partition))
			return began, time.Time{}, err
		}, restored, true},
		{"a large transaction, and nothing else", "large_without", 0, func(ctx context.Context, r *rig) (_, _ time.Time, err error) {
			began, err := r.large(ctx, f.rows)
			return began, time.Time{}, err
		}, nil, false},
		{"the leader of the change log is killed in a large transaction", "large", 10_000, func(ctx context.Context, r *rig) (_, _ time.Time, err error) {
			if _, err = r.large(ctx, f.rows); err != nil {
				return time.Time{}, time.Time{}, err
			}
			began, err := r.killLeader(ctx, r.source.ChangeStream())
			return began, time.Time{}, err
		}, restored, true},
		{"ingest is frozen, another stands by", "freeze", 15_000, freezeIngest, thawed, false},
		{fmt.Sprintf("all NATS servers are killed for %s; from their start", f.outage), "cluster", 10_000, func(ctx context.Context, r *rig) (_, _ time.Time, err error) {
			return r.killNATS(ctx, f.outage)
		}, restored, true},
		{fmt.Sprintf("Postgres restarts (fast), %s; from its first answer", f.down), "postgres", 3000, func(ctx context.Context, r *rig) (_, _ time.Time, err error) {
			return r.restartPostgres(ctx, f.down)
		}, nil, false},
	}
}

func (f *failover) singleEvents() []event {
	const away = 400 * time.Millisecond
	return []event{
		{fmt.Sprintf("a single NATS server restarts, %s", away), "restart", 2000, func(ctx context.Context, r *rig) (_, _ time.Time, err error) {
			began, _, err := r.killNATS(ctx, away)
			return began, time.Time{}, err
		}, restored, false},
	}
}

// run has everything happen.
func (f *failover) run(ctx context.Context, env *common) (r *report, err error) {
	ctx, l, err := openLab(ctx, env, uint64(f.rows)*rowBytes*20*uint64(f.runs)+1<<30, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{title: "how long a reader gets nothing when something goes, in ms"}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	r.table("", "", "p50", "max", "goal", "NATS' election")
	if err := f.phase(ctx, l, r, 3, f.clusterEvents()); err != nil {
		return nil, err
	}
	return r, f.phase(ctx, l, r, 1, f.singleEvents())
}

// phase has events happen to a number of NATS servers.
func (f *failover) phase(ctx context.Context, l *lab, r *report, servers int, events []event) error {
	if f.only != "" {
		only := strings.Split(f.only, ",")
		events = slices.DeleteFunc(events, func(e event) bool { return !slices.Contains(only, strings.TrimSuffix(e.figure, "_without")) })
	}
	if len(events) == 0 {
		return nil
	}
	g, err := l.rig(ctx, servers)
	if err != nil {
		return err
	}
	defer g.stop()
	return g.run(ctx, func(ctx context.Context) error {
		for _, e := range events {
			if err := f.measure(ctx, g, e, r); err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
		}
		return nil
	})
}

// measure has one event happen again and again.
func (f *failover) measure(ctx context.Context, g *rig, e event, r *report) error {
	g.say("%s, %d times", e.name, f.runs)
	var took, elections []time.Duration
	for range f.runs {
		if _, _, err := g.pulse.silence(ctx, time.Now()); err != nil { // all is well
			return err
		}
		began, gone, err := e.happen(ctx, g)
		if err != nil {
			return err
		}
		if e.elects {
			elected, err := g.elected(ctx)
			if err != nil {
				return err
			}
			if gone.IsZero() {
				elections = append(elections, elected.Sub(began))
			} else {
				elections = append(elections, elected.Sub(gone))
			}
		}
		longest, ended, err := g.pulse.silence(ctx, began)
		if err != nil {
			return fmt.Errorf("%w; ingest says:\n%s\nconsumer says:\n%s", err, g.ingest.Log.Tail(), g.consumer.Log.Tail())
		}
		if !gone.IsZero() {
			longest = max(0, ended.Sub(gone))
		}
		g.say("  %s, elections %v", longest.Round(time.Millisecond), elections)
		took = append(took, longest)
		if e.mend != nil {
			if err := e.mend(ctx, g); err != nil {
				return err
			}
		}
	}
	slices.Sort(took)
	p50, most := millis(percentile(took, 0.5)), millis(took[len(took)-1])
	goal := strconv.Itoa(e.goal)
	if e.goal == 0 {
		goal = ""
	}
	own := ""
	if e.elects {
		slices.Sort(elections)
		own = number(millis(percentile(elections, 0.5)))
	}
	r.row(e.name, number(p50), number(most), goal, own)
	r.add("failover_"+e.figure+"_ms", p50, "ms")
	return nil
}

// rig is NATS servers, services and a reader.
type rig struct {
	*lab

	cluster          *proc.Cluster
	source           topology.Source
	table            string
	ingest, consumer *process
	standby          *process
	pulse            *pulse
	writes           int64
	streams          []string
}

// rig starts servers and services; the lab is connected to them.
func (l *lab) rig(ctx context.Context, servers int) (*rig, error) {
	launch := func(o proc.Options) (*proc.Process, error) {
		p, err := l.start(o, true)
		if err != nil {
			return nil, err
		}
		return p.Process, nil
	}
	name := fmt.Sprintf("failover%d", servers)
	g := &rig{lab: l, source: topology.Source(name), table: name}
	var err error
	if g.cluster, err = proc.NewCluster(ctx, filepath.Join(l.dir, name), servers, launch); err != nil {
		return nil, err
	}
	g.say("starting %d NATS servers and the services", servers)
	if err := g.cluster.Start(); err != nil {
		return nil, err
	}
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	l.nc.Close()
	l.natsURL = g.cluster.URL()
	if l.nc, err = nats.Connect(l.natsURL, nats.MaxReconnects(-1), nats.ReconnectWait(readerWait)); err != nil {
		return nil, err
	}
	if l.js, err = jetstream.New(l.nc); err != nil {
		return nil, err
	}
	if err := l.exec(ctx, fmt.Sprintf(tableSQL+"; INSERT INTO %[1]s VALUES (1, 1, 1, 'the row')", g.table)); err != nil {
		return nil, err
	}
	replicas := []string{"--replicas", strconv.Itoa(servers)}
	if g.ingest, err = l.ingest(ctx, g.source, replicas...); err != nil {
		return nil, err
	}
	if g.consumer, err = l.consumer(ctx, g.source, append(replicas, "--partitions", "2")...); err != nil {
		return nil, err
	}
	shape, err := l.create(ctx, g.source, client.Definition{Table: g.table, Where: "id = 1"})
	if err != nil {
		return nil, err
	}
	if _, err := l.create(ctx, g.source, client.Definition{Table: g.table}); err != nil { // it has all of the large transactions
		return nil, err
	}
	if g.standby, err = l.launch(ctx, g.source, ingestArgs(replicas...)); err != nil {
		return nil, err
	}
	for _, p := range []int{0, 1} {
		g.streams = append(g.streams, g.source.ShapeStream(p))
	}
	g.streams = append(g.streams, g.source.ChangeStream(), "KV_"+g.source.MemberBucket(), "KV_"+g.source.LeaseBucket(), "KV_"+g.source.RelationBucket())
	g.pulse = &pulse{shape: shape.Shape, table: g.table, url: l.url}
	return g, nil
}

// readerWait is the pause before the reader's connection tries a server again, as that of Shapebus' own processes.
const readerWait = 250 * time.Millisecond

// run writes and reads while f runs.
func (g *rig) run(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.pulse.write(ctx) })
	group.Go(func() error { return g.pulse.read(ctx) })
	group.Go(func() error {
		defer cancel()
		return f(ctx)
	})
	return group.Wait()
}

// stop ends the services and the servers.
func (g *rig) stop() {
	for _, p := range []*process{g.ingest, g.standby, g.consumer} {
		p.stop()
	}
	for _, n := range g.cluster.Nodes {
		_ = n.Proc.End(syscall.SIGTERM, softStop) // that it took force does not matter
	}
}

// ready waits until the servers work.
func (g *rig) ready(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	var last error
	err := poll(waiting, pollEvery, "the NATS servers work", func() (bool, error) {
		last = g.cluster.Ready(waiting)
		return last == nil, nil
	})
	return errors.Join(err, last)
}

// restored starts the servers that are gone, and waits until every stream has all its copies.
func restored(ctx context.Context, g *rig) error {
	for _, n := range g.cluster.Nodes {
		if n.Proc.Gone() {
			if err := n.Start(); err != nil {
				return err
			}
		}
	}
	if err := g.ready(ctx); err != nil || len(g.cluster.Nodes) == 1 {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return poll(waiting, pollEvery, "every stream has all its copies", func() (bool, error) {
		names := g.js.StreamNames(waiting)
		all := true
		for name := range names.Name() {
			_, current, err := g.cluster.Leader(waiting, g.js, name)
			all = all && err == nil && current
		}
		return all && names.Err() == nil, nil
	})
}

// elected waits until every stream has a leader among the servers that run, and returns when that was.
func (g *rig) elected(ctx context.Context) (time.Time, error) {
	waiting, cancel := context.WithTimeout(ctx, silenceMost)
	defer cancel()
	left := g.streams
	err := poll(waiting, pollEvery, "every stream has a leader", func() (bool, error) {
		for len(left) > 0 {
			asking, cancel := context.WithTimeout(waiting, time.Second)
			n, _, err := g.cluster.Leader(asking, g.js, left[0])
			cancel()
			if err != nil || n.Proc.Gone() {
				return false, nil //nolint:nilerr // it has none yet
			}
			left = left[1:]
		}
		return true, nil
	})
	return time.Now(), err
}

// killLeader kills the server that leads a stream.
func (g *rig) killLeader(ctx context.Context, stream string) (time.Time, error) {
	n, _, err := g.cluster.Leader(ctx, g.js, stream)
	if err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	return now, n.Kill()
}

// killNATS kills all servers and starts them after a while.
func (g *rig) killNATS(ctx context.Context, away time.Duration) (began, gone time.Time, err error) {
	began = time.Now()
	for _, n := range g.cluster.Nodes {
		err = errors.Join(err, n.Kill())
	}
	if err != nil {
		return began, began, err
	}
	if err := pause(ctx, away); err != nil {
		return began, began, err
	}
	gone = time.Now()
	return began, gone, g.cluster.Start()
}

// large commits a transaction of that many rows, and returns when ingest has come into it.
func (g *rig) large(ctx context.Context, rows int) (time.Time, error) {
	before, err := g.logEnd(ctx)
	if err != nil {
		return time.Time{}, err
	}
	conn, err := pgx.Connect(ctx, g.url)
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	first := 10 + g.writes
	g.writes += int64(rows)
	if _, err := conn.Exec(ctx, rowsSQL(g.table, strconv.FormatInt(first, 10), strconv.FormatInt(first+int64(rows)-1, 10))); err != nil {
		return time.Time{}, err
	}
	committed := time.Now()
	bytes := uint64(rows) * rowBytes / 4
	return committed, poll(ctx, pollEvery/10, "ingest is in the large transaction", func() (bool, error) {
		now, err := g.logEnd(ctx)
		return err == nil && now-min(before, now) > bytes, nil
	})
}

// logEnd is how many bytes the change log has.
func (g *rig) logEnd(ctx context.Context) (uint64, error) {
	st, err := g.js.Stream(ctx, g.source.ChangeStream())
	if err != nil {
		return 0, err
	}
	return st.CachedInfo().State.Bytes, nil
}

// freezeIngest freezes the ingest that has the slot.
func freezeIngest(ctx context.Context, g *rig) (began, _ time.Time, err error) {
	if !g.ingest.flag(ctx, "shapebus_ingest_streaming") {
		g.ingest, g.standby = g.standby, g.ingest
	}
	return time.Now(), time.Time{}, g.ingest.Signal(syscall.SIGSTOP)
}

// thawed wakes it up; the other one has the slot.
func thawed(_ context.Context, g *rig) error {
	g.ingest, g.standby = g.standby, g.ingest
	return g.standby.Signal(syscall.SIGCONT)
}

// restartPostgres shuts Postgres down as its own "fast" mode does, and starts it after a while.
func (g *rig) restartPostgres(ctx context.Context, away time.Duration) (began, gone time.Time, err error) {
	began = time.Now()
	if err := syscall.Kill(g.postgres.PID(), syscall.SIGINT); err != nil {
		return began, began, err
	}
	if err := pause(ctx, away); err != nil {
		return began, began, err
	}
	if err := g.postgres.Restart(ctx); err != nil {
		return began, began, err
	}
	gone = time.Now()
	_ = g.db.Close(ctx) // it is broken
	g.db, err = pgx.Connect(ctx, g.url)
	return began, gone, err
}

// pause is the time that something is away, which is the point of it.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
