package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// soak is the size of the bench of what grows while everything runs as ever.
type soak struct {
	minutes   float64
	rate      int // transactions a second
	toggles   int // changes of membership a second
	churn     int // shapes made and deleted a second
	shapes    int // that stay
	every     time.Duration
	retention time.Duration
	profile   string // file
}

// soakTable is how many rows the tables have all the time.
const soakTable = 2000

// soakFlags returns the bench of what grows.
func soakFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	var s soak
	flags.Float64Var(&s.minutes, "minutes", 10, "how long; the first third is for warming up")
	flags.IntVar(&s.rate, "rate", 190, "transactions a second")
	flags.IntVar(&s.toggles, "toggles", 5, "changes of membership a second, of these")
	flags.IntVar(&s.churn, "churn", 5, "shapes made and deleted a second")
	flags.IntVar(&s.shapes, "shapes", 50, "shapes that stay, besides one with a subquery")
	flags.DurationVar(&s.every, "every", 5*time.Second, "time between two looks at the processes")
	flags.DurationVar(&s.retention, "retention", time.Minute, "how long the last words of ended shapes are kept; less than the warming up, or they grow still")
	flags.StringVar(&s.profile, "profile", "", "file for a profile of what the NATS server has allocated; none if empty")
	return func(ctx context.Context, env *common) (*report, error) {
		if s.minutes <= 0 || s.toggles < 1 || s.rate < s.toggles || s.churn < 1 || s.shapes < 1 || s.every <= 0 || s.retention < time.Second {
			return nil, errors.New("-minutes, -toggles, -churn, -shapes and -every must be more than 0, -rate at least as much as -toggles, -retention a second")
		}
		return s.run(ctx, env)
	}
}

// course is what a quantity was, at moments in minutes.
type course struct{ at, value []float64 }

func (c *course) add(at, value float64) { c.at, c.value = append(c.at, at), append(c.value, value) }

// slope is by how much the quantity rises a minute, without the first third: the line with the least squares.
func (c *course) slope() float64 {
	from := len(c.at) / 3
	at, value := c.at[from:], c.value[from:]
	n := float64(len(at))
	var x, y, xx, xy float64
	for i := range at {
		x, y, xx, xy = x+at[i], y+value[i], xx+at[i]*at[i], xy+at[i]*value[i]
	}
	if d := n*xx - x*x; d != 0 {
		return (n*xy - x*y) / d
	}
	return 0
}

func (c *course) last() float64 {
	if len(c.value) == 0 {
		return 0
	}
	return c.value[len(c.value)-1]
}

// courses are by name, in the order in which they came.
type courses struct {
	names []string
	of    map[string]*course
}

func (c *courses) add(name string, at, value float64) {
	if c.of[name] == nil {
		c.of[name] = &course{}
		c.names = append(c.names, name)
	}
	c.of[name].add(at, value)
}

// run has the same traffic for the time, and says what of each process has grown.
func (s *soak) run(ctx context.Context, env *common) (r *report, err error) {
	ctx, l, err := openLab(ctx, env, 2<<30, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{title: fmt.Sprintf("What grows in %g minutes of %d transactions, %d changes of membership, and %d shapes made and deleted a second", s.minutes, s.rate, s.toggles, s.churn)}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	o, err := l.openOffice(ctx, "soak", soakTable, soakTable, true, "--ended-retention", s.retention.String(), "--inner-grace", "5s")
	if err != nil {
		return nil, err
	}
	if err := o.createShape(ctx); err != nil {
		return nil, err
	}
	cl, err := client.New(o.nc, string(o.source))
	if err != nil {
		return nil, err
	}
	for n := range s.shapes {
		if _, err := cl.Create(ctx, client.Definition{Table: o.outer, Where: fmt.Sprintf("customer = %d", n+1)}); err != nil {
			return nil, err
		}
	}
	l.say("traffic for %g minutes", s.minutes)
	seen := &courses{of: map[string]*course{}}
	if err := s.traffic(ctx, o, cl, seen); err != nil {
		return nil, err
	}
	if err := s.keepProfile(ctx, o); err != nil {
		return nil, err
	}
	if err := s.clear(ctx, o, cl, r); err != nil {
		return nil, err
	}
	s.tell(r, seen)
	return r, nil
}

// traffic runs everything for the time, and looks at the processes meanwhile.
func (s *soak) traffic(ctx context.Context, o *office, cl *client.Client, seen *courses) error {
	began := time.Now()
	running, cancel := context.WithTimeout(ctx, time.Duration(s.minutes*float64(time.Minute)))
	defer cancel()
	group, running := errgroup.WithContext(running)
	group.Go(func() error { return s.write(running, o) })
	group.Go(func() error { return s.makeShapes(running, o, cl) })
	group.Go(func() error {
		return s.each(running, s.every, func(int) error {
			return s.look(running, o, time.Since(began).Minutes(), seen)
		})
	})
	return group.Wait()
}

// each calls f at a pace until ctx ends.
func (s *soak) each(ctx context.Context, every time.Duration, f func(n int) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := f(n); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (s *soak) write(ctx context.Context, o *office) error {
	return s.each(ctx, time.Second/time.Duration(s.rate), func(n int) error {
		ctx := context.WithoutCancel(ctx) // one that ends in a statement costs the connection
		if n%(s.rate/s.toggles) == 0 {
			_, err := o.toggle(ctx, 1+n%soakTable)
			return err
		}
		_, err := o.db.Exec(ctx, fmt.Sprintf("UPDATE %s SET payload = left(md5($1::text) || md5($1::text), 62) WHERE id = $2", o.outer), strconv.Itoa(n), 1+n%soakTable)
		return err
	})
}

// makeShapes makes shapes that nobody has made before, and deletes each.
func (s *soak) makeShapes(ctx context.Context, o *office, cl *client.Client) error {
	return s.each(ctx, time.Second/time.Duration(s.churn), func(n int) error {
		sh, err := cl.Create(ctx, client.Definition{Table: o.outer, Where: fmt.Sprintf("customer = %d AND id <> %d", 1+n%soakTable, -1-n)})
		if err != nil {
			return err
		}
		return sh.Delete(ctx)
	})
}

// look adds what the processes and the streams are now.
func (s *soak) look(ctx context.Context, o *office, at float64, seen *courses) error {
	for _, p := range []*process{o.ingest, o.consumer, o.materializer, o.nats} {
		name := strings.ToLower(p.Name)
		rss, err := residentMemory(p.Pid())
		if err != nil {
			return err
		}
		seen.add(name+"_rss_mib", at, rss)
		if p.metrics == "" {
			continue
		}
		for _, m := range []struct {
			metric, as string
			unit       float64
		}{{"go_memstats_heap_inuse_bytes", "heap_mib", 1 << 20}, {"go_goroutines", "goroutines", 1}, {"process_open_fds", "fds", 1}} {
			v, err := p.metric(ctx, m.metric)
			if err != nil {
				return err
			}
			seen.add(name+"_"+m.as, at, v/m.unit)
		}
	}
	bytes, subjects, keys, err := stored(ctx, o)
	if err != nil {
		return err
	}
	seen.add("streams_mib", at, bytes/(1<<20))
	seen.add("subjects", at, subjects)
	seen.add("keys", at, keys)
	return nil
}

// keepProfile writes what the NATS server has allocated since its start to a file.
func (s *soak) keepProfile(ctx context.Context, o *office) error {
	if s.profile == "" {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(o.nats.metrics, "/metrics")+"/debug/pprof/allocs", http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(s.profile, body, 0o600)
}

// stored is what is in all streams: their bytes, the subjects of the streams that are no buckets, and the keys of those that are,
// removed ones among them.
func stored(ctx context.Context, o *office) (bytes, subjects, keys float64, err error) {
	streams := o.js.ListStreams(ctx)
	for info := range streams.Info() {
		if !o.source.Owns(info.Config.Name) {
			continue
		}
		bytes += float64(info.State.Bytes)
		if strings.HasPrefix(info.Config.Name, "KV_") {
			keys += float64(info.State.NumSubjects)
		} else {
			subjects += float64(info.State.NumSubjects)
		}
	}
	return bytes, subjects, keys, streams.Err()
}

// clear deletes all shapes, and waits for what they leave to go.
func (s *soak) clear(ctx context.Context, o *office, cl *client.Client, r *report) error {
	o.say("deleting all shapes")
	shapes, err := cl.List(ctx)
	if err != nil {
		return err
	}
	for _, sh := range shapes {
		if err := cl.Delete(ctx, sh.Handle); err != nil && !errors.Is(err, client.ErrNotFound) {
			return err
		}
	}
	left := 0
	err = poll(ctx, pollEvery, "all shapes are gone", func() (bool, error) {
		shapes, err := cl.List(ctx)
		if err != nil {
			return false, err
		}
		for _, sh := range shapes {
			if sh.State == control.StateLive && !sh.Inner { // one that was being made
				if err := cl.Delete(ctx, sh.Handle); err != nil && !errors.Is(err, client.ErrNotFound) {
					return false, err
				}
			}
		}
		if left, err = logs(ctx, o); err != nil {
			return false, err
		}
		return len(shapes) == 0 && left == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%w; %d logs are left", err, left)
	}
	_, subjects, keys, err := stored(ctx, o)
	r.add("soak_left_logs", float64(left), "logs")
	r.add("soak_left_subjects", subjects, "subjects")
	r.add("soak_left_keys", keys, "keys")
	return err
}

// logs counts the logs of shapes that there are.
func logs(ctx context.Context, o *office) (n int, err error) {
	streams := o.js.ListStreams(ctx)
	for info := range streams.Info() {
		if !strings.HasPrefix(info.Config.Name, "SHAPES-") {
			continue
		}
		st, err := o.js.Stream(ctx, info.Config.Name)
		if err != nil {
			return 0, err
		}
		of, err := st.Info(ctx, jetstream.WithSubjectFilter("sb."+string(o.source)+".shape.*.*.log"))
		if err != nil {
			return 0, err
		}
		n += len(of.State.Subjects)
	}
	return n, streams.Err()
}

func (s *soak) tell(r *report, seen *courses) {
	r.table("", "", "at the end", "a minute more")
	for _, name := range seen.names {
		c := seen.of[name]
		r.row(name, number(c.last()), number(c.slope()))
		r.add("soak_"+name+"_per_min", max(c.slope(), 0), "per_min") // what becomes less does not grow
	}
	r.notes = []string{
		"Goals: at most 0.5 MiB of rss a minute and process, 5 for NATS; nothing is left of shapes but markers of removed keys, which go",
		"after one to two hours: until then there is one for each shape deleted.", "",
	}
}
