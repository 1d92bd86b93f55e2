package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/pgtemp"
	"github.com/shapebus/shapebus/pkg/topology"
)

// syncInterval for ingest is a little more than that of the NATS server here.
const syncInterval = 2 * time.Second

// pollEvery is how often a condition is looked at whose moment is known exactly afterwards, or does not matter.
const pollEvery = 100 * time.Millisecond

// lab is where a bench takes place: Postgres, NATS and the built binary. It belongs to one goroutine.
type lab struct {
	*common

	fail    context.CancelCauseFunc
	dir     string // for files of its own
	procs   []*process
	started int

	postgres *pgtemp.Server
	url      string // of the database
	db       *pgx.Conn
	nats     *process
	natsURL  string
	nc       *nats.Conn
	js       jetstream.JetStream
}

// openLab starts the servers. need is what the bench will write to disk, in bytes. The context
// returned ends when a process does that should not. The caller closes the lab, after an error too.
func openLab(ctx context.Context, env *common, need uint64, fsync bool) (context.Context, *lab, error) {
	ctx, fail := context.WithCancelCause(ctx)
	l := &lab{common: env, fail: fail}
	return ctx, l, l.open(ctx, need, fsync)
}

func (l *lab) open(ctx context.Context, need uint64, fsync bool) (err error) {
	const mib = 1 << 20
	free, err := freeSpace(os.TempDir())
	if err != nil {
		return fmt.Errorf("look for disk space: %w", err)
	}
	l.say("needs about %d MiB in %s, where %d MiB are free", need/mib, os.TempDir(), free/mib)
	if free < need+need/4 {
		return fmt.Errorf("%s has %d MiB free, and this needs %d MiB and some reserve; set TMPDIR to a larger disk, or measure fewer rows (-rows)",
			os.TempDir(), free/mib, need/mib)
	}
	if l.dir, err = os.MkdirTemp("", "shapebus-bench-"); err != nil {
		return err
	}
	l.say("starting Postgres and NATS")
	l.postgres, err = pgtemp.Start(ctx, pgtemp.Options{Fsync: fsync, Settings: map[string]string{
		// What the server does from time to time by itself would hit one measurement and not the next.
		"autovacuum": "off", "checkpoint_timeout": "1d", "max_wal_size": "64GB",
		"max_replication_slots": "100", "max_wal_senders": "100",
	}})
	if err != nil {
		return err
	}
	l.url = l.postgres.URL("postgres")
	if l.db, err = pgx.Connect(ctx, l.url); err != nil {
		return err
	}
	if l.nats, l.natsURL, err = l.startNATS(); err != nil {
		return err
	}
	if l.nc, err = nats.Connect(l.natsURL, nats.MaxReconnects(-1)); err != nil {
		return err
	}
	l.js, err = jetstream.New(l.nc)
	return err
}

// close ends everything that was started, the latest first, and removes its files. It returns err, which is how the bench
// went, with the reason if ctx ended, and with what went wrong in closing.
func (l *lab) close(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if l.nc != nil {
		l.nc.Close()
	}
	for _, p := range slices.Backward(l.procs) {
		p.stop()
	}
	if l.db != nil {
		err = errors.Join(err, l.db.Close(ctx))
	}
	if l.postgres != nil {
		err = errors.Join(err, l.postgres.Stop(ctx))
	}
	l.fail(nil)
	if l.dir != "" {
		err = errors.Join(err, os.RemoveAll(l.dir))
	}
	return err
}

// exec runs SQL on the bench's own connection, several statements if need be.
func (l *lab) exec(ctx context.Context, sql string) error {
	if _, err := l.db.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// count is the one number that a query returns.
func (l *lab) count(ctx context.Context, sql string) (n int64, err error) {
	if err = l.db.QueryRow(ctx, sql).Scan(&n); err != nil {
		err = fmt.Errorf("%s: %w", sql, err)
	}
	return n, err
}

// changeLogMax is the size of a change log, for which JetStream keeps room free from the start; it has three quarters of
// what is free on the disk for all of a bench's logs.
const changeLogMax = "2GiB"

// ingestArgs are what every ingest process is started with.
func ingestArgs(args ...string) []string {
	return append([]string{"ingest", "--sync-interval", syncInterval.String(), "--change-log-max-bytes", changeLogMax}, args...)
}

// ingest starts an ingest process and returns when it streams.
func (l *lab) ingest(ctx context.Context, source topology.Source, args ...string) (*process, error) {
	return l.service(ctx, source, "shapebus_ingest_streaming", ingestArgs(args...))
}

// consumer starts a consumer process and returns when it reads the change log and writes shape logs.
func (l *lab) consumer(ctx context.Context, source topology.Source, args ...string) (*process, error) {
	return l.service(ctx, source, "shapebus_consumer_partitions", append([]string{"consumer"}, args...))
}

// service starts the binary and returns when a metric of it is 1 or more.
func (l *lab) service(ctx context.Context, source topology.Source, ready string, args []string) (*process, error) {
	p, err := l.launch(ctx, source, args)
	if err != nil {
		return nil, err
	}
	starting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	err = poll(starting, pollEvery/5, p.Name+" is ready", func() (bool, error) { return p.flag(ctx, ready), nil })
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%w; the end of its log:\n%s", err, p.Log.Tail())
	}
	return p, nil
}

// startTime bounds the start of a service: what keeps it from starting, such as a full disk, does not go away.
const startTime = 2 * time.Minute

// launch starts the binary as a deployment would: with its own memory settings and its health endpoint.
func (l *lab) launch(ctx context.Context, source topology.Source, args []string) (*process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	args = append(args, "--source", string(source), "--listen", address)
	env := proc.Environment("SHAPEBUS_DATABASE_URL="+l.url, "SHAPEBUS_NATS_URL="+l.natsURL) // not every service reads both
	p, err := l.start(proc.Options{Name: args[0], Path: l.binary, Args: args, Env: env}, true)
	if err == nil {
		p.metrics = "http://" + address + "/metrics"
	}
	return p, err
}

// freeAddress is one of loopback for a server that will be started, perhaps more than once.
func freeAddress(ctx context.Context) (string, error) {
	port, err := natstest.FreePort(ctx)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// flag reports whether a metric of the process is 1 or more. No answer is no.
func (p *process) flag(ctx context.Context, metric string) bool {
	value, err := p.metric(ctx, metric)
	return err == nil && value >= 1
}

// metric is the present value of one of the process's metrics.
func (p *process) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.metrics, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, fmt.Errorf("read the metrics of %s: %w", p.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+"{") || strings.HasPrefix(line, name+" ") { // Go's own have no label
			fields := strings.Fields(line)
			return strconv.ParseFloat(fields[len(fields)-1], 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", p.Name, name)
}
