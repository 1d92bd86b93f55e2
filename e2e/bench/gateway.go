package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// gatewayBench is the size of the bench of shapes over HTTP.
type gatewayBench struct {
	transactions, rate, polls int
	clients, changes          int
	rows, few                 int
	only                      string
}

// gatewayFlags returns the bench of shapes over HTTP.
func gatewayFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	var b gatewayBench
	flags.IntVar(&b.transactions, "transactions", 400, "single-row transactions, whose latency is measured")
	flags.IntVar(&b.rate, "rate", 40, "of these a second")
	flags.IntVar(&b.polls, "polls", 100, "long polls that wait for these")
	flags.IntVar(&b.clients, "clients", 10_000, "long polls, and as many streams of server-sent events, that wait for a change; fewer where files are limited")
	flags.IntVar(&b.changes, "changes", 5, "changes that all of these get")
	flags.IntVar(&b.rows, "rows", 1_000_000, "rows of the large shape")
	flags.IntVar(&b.few, "few", 50_000, "rows of the small shape")
	flags.StringVar(&b.only, "only", "", "only this part: latency, fan, replay or floor")
	return func(ctx context.Context, env *common) (*report, error) {
		if b.transactions < 1 || b.rate < 1 || b.polls < 1 || b.clients < 1 || b.changes < 1 || b.few < 1 || b.rows < b.few {
			return nil, errors.New("every size must be at least 1, and -rows at least -few")
		}
		return b.run(ctx, env)
	}
}

func (b *gatewayBench) run(ctx context.Context, env *common) (r *report, err error) {
	ctx, l, err := openLab(ctx, env, 1<<30+uint64(b.rows)*4*rowBytes, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{
		title: "Shapes over HTTP; the gateway, all other services, the servers and the clients share the machine",
		notes: []string{
			"Goals: over pkg/client p50 at most 2 ms and p99 at most 10 ms; a change is with all clients within 500 ms (p99), 24 KiB a client;",
			"300 MB a second and core from the cache, 100 from JetStream; memory for the large shape at most 1.25 times that for the small one; first rows within 300 ms.", "",
		},
	}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	const source = topology.Source("gateway")
	for _, table := range []string{"latency", "fan", "large", "small"} {
		if err := l.exec(ctx, fmt.Sprintf(tableSQL, table)); err != nil {
			return nil, err
		}
	}
	if _, err := l.ingest(ctx, source); err != nil {
		return nil, err
	}
	if _, err := l.consumer(ctx, source); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name string
		run  func(context.Context, *lab, *report, topology.Source) error
	}{{"latency", b.latency}, {"fan", b.fan}, {"replay", b.replay}, {"floor", b.floor}} {
		if b.only != "" && b.only != part.name {
			continue
		}
		if err := part.run(ctx, l, r, source); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// startGateway starts a gateway and returns when it answers, with the address of its shapes.
func (l *lab) startGateway(ctx context.Context, source topology.Source, args ...string) (*process, string, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, "", err
	}
	p, err := l.launch(ctx, source, append([]string{"gateway", "--http-listen", address}, args...))
	if err != nil {
		return nil, "", err
	}
	starting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return p, address, poll(starting, pollEvery/5, "the gateway answers", func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/health", http.NoBody)
		if err != nil {
			return false, err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil { // else it does not listen yet
			return resp.StatusCode == http.StatusOK, resp.Body.Close()
		}
		return false, nil
	})
}

// latency compares long polls with pkg/client in the same transactions.
func (b *gatewayBench) latency(ctx context.Context, l *lab, r *report, source topology.Source) error {
	p, address, err := l.startGateway(ctx, source)
	if err != nil {
		return err
	}
	defer p.stop()
	s, err := l.create(ctx, source, client.Definition{Table: "latency"})
	if err != nil {
		return err
	}
	l.say("%d transactions, %d long polls", b.transactions, b.polls)
	clients, err := startClients(ctx, address, "latency", b.polls, 0)
	if err != nil {
		return err
	}
	defer clients.stop()
	t := newTrips(warmUp+b.transactions, b.rate)
	if err := t.run(ctx, l.url, "latency", s.Shape); err != nil {
		return err
	}
	t.sum(warmUp)
	if err := clients.await(ctx, warmUp+b.transactions); err != nil {
		return err
	}
	var polls []time.Duration
	for id := warmUp; id < len(t.sent); id++ {
		for _, at := range clients.received(id) {
			polls = append(polls, at.Sub(t.sent[id]))
		}
	}
	slices.Sort(polls)
	r.table("From sending COMMIT to the change in a client's hands, in ms", "", "p50", "p90", "p99", "max")
	row := func(name string, d []time.Duration) {
		r.row(name, number(millis(percentile(d, 0.5))), number(millis(percentile(d, 0.9))), number(millis(percentile(d, 0.99))), number(millis(percentile(d, 1))))
	}
	row("pkg/client", t.whole)
	row(fmt.Sprintf("%d long polls", b.polls), polls)
	over := func(share float64) float64 {
		return max(0, millis(percentile(polls, share)-percentile(t.whole, share)))
	}
	r.add("gateway_p50_ms", over(0.5), "ms")
	r.add("gateway_p99_ms", over(0.99), "ms")
	return nil
}

// fileReserve is what a gateway opens besides its clients.
const fileReserve = 200

// fan has many clients wait on one shape, and gives them changes.
func (b *gatewayBench) fan(ctx context.Context, l *lab, r *report, source topology.Source) error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("limit of files: %w", err)
	}
	each := min(b.clients, (int(min(files.Max, 1<<20))-fileReserve)/2)
	p, address, err := l.startGateway(ctx, source)
	if err != nil {
		return err
	}
	defer p.stop()
	if _, err := l.create(ctx, source, client.Definition{Table: "fan"}); err != nil {
		return err
	}
	one, err := startClients(ctx, address, "fan", 1, 1) // what the first clients bring about is not theirs
	if err != nil {
		return err
	}
	defer one.stop()
	before, err := residentMemory(p.Pid())
	if err != nil {
		return err
	}
	l.say("%d long polls and %d streams", each, each)
	began := time.Now()
	polls, err := startClients(ctx, address, "fan", each, 0)
	if err != nil {
		return err
	}
	defer polls.stop()
	streams, err := startClients(ctx, address, "fan", 0, each)
	if err != nil {
		return err
	}
	defer streams.stop()
	connected := time.Since(began)
	after, err := residentMemory(p.Pid())
	if err != nil {
		return err
	}
	fan := fan{lab: l, gateway: p.Pid()}
	all, err := fan.give(ctx, b.changes, polls, streams)
	if err != nil {
		return err
	}
	peak, err := peakMemory(p.Pid())
	if err != nil {
		return err
	}
	polls.stop()
	some, err := fan.give(ctx, b.changes, streams)
	if err != nil {
		return err
	}
	kib := (after - before) * 1024 / float64(2*each)
	r.table(fmt.Sprintf("%d long polls and %d streams on one shape get %d changes, in ms from before the INSERT", each, each, b.changes), "p50", "p90", "p99", "max", "KiB a client", "at the peak", "connected in s")
	r.row(number(millis(percentile(all.took, 0.5))), number(millis(percentile(all.took, 0.9))), number(millis(percentile(all.took, 0.99))), number(millis(percentile(all.took, 1))),
		number(kib), number((peak-before)*1024/float64(2*each)), number(connected.Seconds()))
	per := 10_000 / float64(each*b.changes)
	r.table("CPU seconds of 10,000 answers that a change brings about", "the gateway's", "the clients'")
	r.row("events of streams", number(some.gateway*per), number(some.clients*per))
	r.row("long polls, with the requests that follow", number((all.gateway-some.gateway)*per), number((all.clients-some.clients)*per))
	r.add("gateway_clients", float64(2*each), "clients")
	r.add("gateway_fanout_p50_ms", millis(percentile(all.took, 0.5)), "ms")
	r.add("gateway_fanout_p99_ms", millis(percentile(all.took, 0.99)), "ms")
	r.add("gateway_kib_per_client", kib, "KiB")
	r.add("gateway_cpu_s_10k_events", some.gateway*per, "s")
	r.add("gateway_cpu_s_10k_polls", (all.gateway-some.gateway)*per, "s")
	return nil
}

// fan gives changes to many clients.
type fan struct {
	lab     *lab
	gateway int // its process
	next    int // id of a row
}

// fanned is what that took: until each change was with each client, and CPU seconds.
type fanned struct {
	took             []time.Duration
	gateway, clients float64
}

// quiet waits until the gateway does nothing any more.
func (f *fan) quiet(ctx context.Context) error {
	last := -1.0
	return poll(ctx, quietFor, "the gateway does nothing", func() (bool, error) {
		now, err := cpuTime(f.gateway)
		same := now-last < 2.0/clockTicks // what runs beside requests
		last = now
		return same, err
	})
}

// quietFor is how long a gateway does nothing that has answered all.
const quietFor = 300 * time.Millisecond

// give makes changes, one when the one before is with all clients, and says what that took with all that clients then ask for.
func (f *fan) give(ctx context.Context, changes int, to ...*webClients) (out fanned, err error) {
	pids := map[int]*float64{f.gateway: &out.gateway, os.Getpid(): &out.clients}
	read := func(sign float64) error {
		if err := f.quiet(ctx); err != nil {
			return err
		}
		for pid, sum := range pids {
			s, err := cpuTime(pid)
			if err != nil {
				return err
			}
			*sum += sign * s
		}
		return nil
	}
	if err := read(-1); err != nil {
		return out, err
	}
	for range changes {
		sent := time.Now()
		if err := f.lab.exec(ctx, fmt.Sprintf("INSERT INTO fan VALUES (%d, 1, 1, 'a change for all')", f.next)); err != nil {
			return out, err
		}
		for _, c := range to {
			if err := c.await(ctx, f.next+1); err != nil {
				return out, err
			}
			for _, at := range c.received(f.next) {
				out.took = append(out.took, at.Sub(sent))
			}
		}
		f.next++
	}
	if err := read(1); err != nil {
		return out, err
	}
	slices.Sort(out.took)
	return out, nil
}
