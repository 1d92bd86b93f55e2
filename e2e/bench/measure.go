package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
)

// role is what a process does in a run.
type role string

const (
	roleWalsender role = "walsender"
	roleReceiver  role = "receiver" // pg_recvlogical or ingest
	roleNATS      role = "nats"
	roleConsumer  role = "consumer"
)

var roles = []role{roleWalsender, roleReceiver, roleNATS, roleConsumer} //nolint:gochecknoglobals // a constant that Go has no syntax for

// result is what one run took: from the moment at which Postgres accepted the connection that reads the slot to the
// moment at which the end of the backlog was where the run takes it.
type result struct {
	seconds float64
	cpu     map[role]float64 // seconds of it in each process, in the same time
}

// finish says whether the end has been reached, and when that was.
type finish func(ctx context.Context) (at time.Time, ok bool, err error)

// measure lets a contender drain the backlog.
func (l *lab) measure(ctx context.Context, w *workload, c *contender) (result, error) {
	m := &meter{procs: map[role]int{}, first: map[role]float64{}, last: map[role]float64{}}
	var receiver *process
	var finished finish
	var err error
	switch c.kind {
	case kindFloor:
		receiver, finished, err = l.runFloor(ctx, w, c)
	case kindIngest:
		m.procs[roleNATS] = l.nats.Pid()
		finished = func(ctx context.Context) (time.Time, bool, error) { return l.stored(ctx, w, c) }
		receiver, err = l.launchIngest(ctx, c)
	case kindEndToEnd:
		// It waits at the end of an empty change log when the backlog begins to flow.
		consumer, cerr := l.consumer(ctx, c.source, "--publication", publication)
		if cerr != nil {
			return result{}, cerr
		}
		defer consumer.stop()
		m.procs[roleNATS], m.procs[roleConsumer] = l.nats.Pid(), consumer.Pid()
		c.shape.want = w.rows
		finished = func(ctx context.Context) (time.Time, bool, error) { return l.complete(ctx, c.shape) }
		receiver, err = l.launchIngest(ctx, c)
	}
	if err != nil {
		return result{}, err
	}
	defer receiver.stop()
	m.procs[roleReceiver] = receiver.Pid()
	return m.watch(ctx, l.db, c.slot, finished)
}

func (l *lab) launchIngest(ctx context.Context, c *contender) (*process, error) {
	return l.launch(ctx, c.source, ingestArgs("--publication", publication))
}

func (l *lab) runFloor(ctx context.Context, w *workload, c *contender) (*process, finish, error) {
	program, err := l.recvlogical(ctx)
	if err != nil {
		return nil, nil, err
	}
	p, err := l.startFloor(program, c.slot, publication, w.end)
	return p, func(context.Context) (time.Time, bool, error) {
		select {
		case <-p.Done():
			at, _ := p.Ended()
			return at, true, p.exitError()
		default:
			return time.Time{}, false, nil
		}
	}, err
}

// stored reports whether the change log holds the whole backlog, and since when: the barrier behind it is there.
func (l *lab) stored(ctx context.Context, w *workload, c *contender) (time.Time, bool, error) {
	st, err := l.js.Stream(ctx, c.source.ChangeStream())
	if err != nil {
		return time.Time{}, false, err
	}
	barrier, err := st.GetLastMsgForSubject(ctx, c.source.ControlSubject())
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	if lsn, err := stream.LSN(barrier.Header); err != nil || lsn < w.end {
		return time.Time{}, false, err
	}
	last, err := st.GetLastMsgForSubject(ctx, c.source.ChangeSubject("public", w.name))
	if err != nil {
		return time.Time{}, false, err
	}
	return last.Time, true, nil
}

// sampleEvery is how often CPU times are read: the walsender's are gone with its connection.
const sampleEvery = 20 * time.Millisecond

// meter reads the CPU times of a run's processes.
type meter struct {
	procs       map[role]int // process ids
	first, last map[role]float64
}

// watch reads the meter until the run is finished. It begins when the walsender shows up, so that the start of the
// programs is left out.
func (m *meter) watch(ctx context.Context, db *pgx.Conn, slot string, finished finish) (result, error) {
	began := time.Now() // for a run that ends before its walsender has been seen
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if m.procs[roleWalsender] == 0 {
			pid, at, err := walsender(ctx, db, slot)
			if err != nil {
				return result{}, err
			}
			if pid != 0 {
				began, m.procs[roleWalsender] = at, pid
				m.first[roleWalsender] = 0 // it came into being for this run
			}
		}
		if m.procs[roleWalsender] != 0 {
			m.sample()
		}
		if n%int(pollEvery/sampleEvery) == 0 {
			at, ok, err := finished(ctx)
			if err != nil {
				return result{}, err
			}
			if ok {
				return m.result(at.Sub(began)), nil
			}
		}
		select {
		case <-ctx.Done():
			return result{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// sample keeps the last value of a process that has ended.
func (m *meter) sample() {
	for of, pid := range m.procs {
		s, err := cpuTime(pid)
		if err != nil {
			continue
		}
		if _, ok := m.first[of]; !ok {
			m.first[of] = s
		}
		m.last[of] = s
	}
}

func (m *meter) result(took time.Duration) result {
	r := result{seconds: took.Seconds(), cpu: map[role]float64{}}
	for of := range m.procs {
		r.cpu[of] = m.last[of] - m.first[of]
	}
	return r
}

// walsender returns the process that reads a slot and since when it has its connection, pid 0 while there is none.
func walsender(ctx context.Context, db *pgx.Conn, slot string) (pid int, since time.Time, err error) {
	err = db.QueryRow(ctx, `SELECT a.pid, a.backend_start FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
		WHERE s.slot_name = $1`, slot).Scan(&pid, &since)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, time.Time{}, nil
	}
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("look for the walsender of slot %s: %w", slot, err)
	}
	return pid, since, nil
}
