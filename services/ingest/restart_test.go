package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/wire"
)

// audit requires that the log holds each op of each transaction once, with one
// commit marker per table, and returns all inserted ids in order.
func audit(t *testing.T, entries []entry) (ids []string) {
	t.Helper()
	type txn struct {
		ops     map[uint64]bool
		markers map[string]int
		tables  int
		end     uint64
	}
	txns := map[change.LSN]*txn{}
	var last change.LSN
	for _, e := range entries {
		if e.control != nil {
			continue
		}
		f := e.frag
		if f.LSN < last {
			t.Fatalf("message %d: transaction %s after %s", e.seq, f.LSN, last)
		}
		last = f.LSN
		x := txns[f.LSN]
		if x == nil {
			x = &txn{ops: map[uint64]bool{}, markers: map[string]int{}}
			txns[f.LSN] = x
		}
		for _, op := range f.Ops {
			if x.ops[op.Index] {
				t.Fatalf("message %d: op %s/%d is there twice", e.seq, f.LSN, op.Index)
			}
			x.ops[op.Index] = true
			if op.Kind == change.Insert {
				ids = append(ids, string(op.New[0]))
			}
		}
		if f.Last {
			x.markers[e.rel.Name]++
			x.tables, x.end = len(f.Tables), f.End
		}
	}
	for lsn, x := range txns {
		if len(x.markers) != x.tables || x.tables == 0 {
			t.Errorf("transaction %s: markers %v for %d tables", lsn, x.markers, x.tables)
		}
		for name, n := range x.markers {
			if n != 1 {
				t.Errorf("transaction %s: %d markers on %s", lsn, n, name)
			}
		}
		if x.end != uint64(len(x.ops))*change.OpStep {
			t.Errorf("transaction %s: %d ops, end %d", lsn, len(x.ops), x.end)
		}
	}
	return ids
}

func numbers(from, to int) (s []string) {
	for i := from; i <= to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

func resets(entries []entry) (reasons []string) {
	for _, e := range entries {
		if e.control != nil && e.control.Kind == wire.ControlReset {
			reasons = append(reasons, e.control.Reason)
		}
	}
	return reasons
}

func TestRestart(t *testing.T) {
	t.Parallel()
	t.Run("a transaction that was cut is continued with fragments of another size", func(t *testing.T) {
		for _, c := range [][3]int{{1, 7, 3}, {7, 1, 2}, {3, 100, 1}, {5, 3, 100}, {2, 0, 1}, {7, 7, 7}} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				b := newBench(t, "")
				b.exec("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY)")
				b.publish("a", "b", "c")
				b.start().stop()
				b.exec("INSERT INTO a VALUES (0)")
				b.transaction(`DO $$ BEGIN FOR i IN 1..60 LOOP
					IF i % 3 = 0 THEN INSERT INTO a VALUES (i); ELSIF i % 3 = 1 THEN INSERT INTO b VALUES (i); ELSE INSERT INTO c VALUES (i); END IF;
					IF i = 31 THEN ALTER TABLE b ADD v text; END IF;
				END LOOP; END $$`)
				for round, ops := range c {
					dies := round < 2 && ops > 0 && ops < 20 // the others may have too few fragments
					var calls atomic.Int32
					died := make(chan struct{})
					var r *running
					started := make(chan struct{})
					r = b.start(func(cfg *Config) {
						cfg.FragmentOps = ops
						cfg.Failpoint = func(p failpoint.Point) {
							if p == failpoint.BetweenFragments && dies && calls.Add(1) == 3 {
								<-started
								r.cancel()
								close(died)
							}
						}
					})
					close(started)
					if dies {
						select {
						case <-died:
						case <-time.After(patience):
							t.Fatal("the fault did not fire")
						}
						<-r.done
						continue
					}
					b.upToBarrier()
					r.stop()
				}
				b.start()
				b.exec("INSERT INTO a VALUES (61)")
				entries := b.upToBarrier()
				ids := audit(t, entries)
				slices.Sort(ids)
				want := numbers(0, 61)
				slices.Sort(want)
				if !slices.Equal(ids, want) {
					t.Errorf("ids %v", ids)
				}
				if r := resets(entries); len(r) > 1 {
					t.Errorf("resets %q", r)
				}
			})
		}
	})

	t.Run("nothing is repeated when there is nothing to do", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		b.start(func(c *Config) { c.SyncInterval = time.Hour }).stop()
		for i := range 5 {
			b.exec("INSERT INTO t VALUES ($1)", i)
			b.exec("SELECT pg_logical_emit_message(true, 'shapebus', 'x')")
			b.exec("SELECT pg_logical_emit_message(false, 'shapebus', 'y')")
			r := b.start(func(c *Config) { c.SyncInterval = time.Hour })
			b.upToBarrier()
			r.stop()
		}
		b.start()
		entries := b.upToBarrier()
		if ids := audit(t, entries); !slices.Equal(ids, numbers(0, 4)) {
			t.Errorf("ids %v", ids)
		}
		var barriers int
		for _, e := range entries {
			if e.control != nil && (e.control.Payload == "x" || e.control.Payload == "y") {
				barriers++
			}
		}
		if barriers != 10 || len(resets(entries)) != 0 {
			t.Errorf("%d barriers, resets %q", barriers, resets(entries))
		}
	})

	t.Run("a log whose messages are all discarded is not filled again", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		r := b.start()
		b.exec("INSERT INTO t VALUES (1)")
		b.upToBarrier()
		b.exec("SELECT pg_catalog.txid_current()") // the server tells of more WAL only where there is more
		eventually(t, "the record knows what is stored", func() bool {
			s := r.Status()
			return s.Acked == s.Received && s.Confirmed > s.Published
		})
		r.stop()
		st, err := b.js.Stream(t.Context(), b.source.ChangeStream())
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.exec("INSERT INTO t VALUES (2)")
		b.start()
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(2, 2)) {
			t.Errorf("ids %v", ids)
		}
	})

	t.Run("a log that has lost its end, whose numbers are not given again, goes on", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		unconfirmed := func(c *Config) { c.SyncInterval = time.Hour }
		r := b.start(unconfirmed)
		for i := range 9 {
			b.exec("INSERT INTO t VALUES ($1)", i+1)
			b.upToBarrier() // so that each is a message of its own
		}
		r.stop()
		st, err := b.js.Stream(t.Context(), b.source.ChangeStream())
		if err != nil {
			t.Fatal(err)
		}
		last := st.CachedInfo().State.LastSeq
		// The ninth between two barriers, and the seventh, which is in the middle of what is left.
		for _, back := range []uint64{0, 1, 2, 5} {
			if err := st.DeleteMsg(t.Context(), last-back); err != nil {
				t.Fatal(err)
			}
		}
		b.exec("INSERT INTO t VALUES (10)")
		b.start(unconfirmed)
		var ids []string
		eventually(t, "the last transaction is there", func() bool {
			ids = b.storedIDs(st)
			return slices.Contains(ids, "10")
		})
		if want := []string{"1", "2", "3", "4", "5", "6", "8", "9", "10"}; !slices.Equal(ids, want) {
			t.Errorf("ids %v, want %v", ids, want)
		}
	})

	t.Run("a killed Postgres comes back and nothing is lost or doubled", func(t *testing.T) {
		server := pgtest.Own(t, map[string]string{"fsync": "on"})
		b := newBench(t, server.URL("postgres"))
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		r := b.start(func(c *Config) { c.SyncInterval = 10 * time.Second })
		for i := range 3 {
			b.exec("INSERT INTO t SELECT generate_series($1::int, $1::int + 99)", 1+i*100)
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.db = b.connect()
		}
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(1, 300)) {
			t.Errorf("%d ids", len(ids))
		}
		if s := r.Status(); s.Retries == 0 {
			t.Error("the fault did not reach ingest")
		}
	})

	t.Run("a lost connection to NATS comes back and nothing is lost or doubled", func(t *testing.T) {
		b := newBench(t, "")
		p, through := b.behindProxy()
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		r := b.start(through, func(c *Config) { c.FragmentOps = 10 })
		for i := range 5 {
			b.exec("INSERT INTO t SELECT generate_series($1::int, $1::int + 999)", 1+i*1000)
			p.cut()
		}
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(1, 5000)) {
			t.Errorf("%d ids", len(ids))
		}
		if s := r.Status(); s.Retries == 0 {
			t.Error("the fault did not reach ingest")
		}
	})

	t.Run("a hot standby takes over", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		first := b.start()
		second := b.launch()
		eventually(t, "the second stands by", func() bool { return second.Status().State == StateStandby })
		b.exec("INSERT INTO t SELECT generate_series(1, 1000)")
		first.stop()
		b.exec("INSERT INTO t SELECT generate_series(1001, 2000)")
		select {
		case <-second.Ready():
		case <-time.After(patience):
			t.Fatal("the second does not take over")
		}
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(1, 2000)) {
			t.Errorf("%d ids", len(ids))
		}
		if s := second.Status(); s.Retries != 0 {
			t.Errorf("standing by counts as trouble: %+v", s)
		}
	})

	t.Run("a process that lost the slot cannot write any more", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		paused, wake := make(chan struct{}), make(chan struct{})
		var calls atomic.Int32
		zombie := b.start(func(c *Config) {
			c.FragmentOps = 5
			c.Failpoint = func(p failpoint.Point) {
				if p == failpoint.BetweenFragments && calls.Add(1) == 4 {
					close(paused)
					<-wake
				}
			}
		})
		b.exec("INSERT INTO t SELECT generate_series(1, 100)")
		<-paused
		b.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", b.slot)
		heir := b.start()
		b.exec("INSERT INTO t SELECT generate_series(101, 200)")
		before := b.upToBarrier()
		close(wake)
		eventually(t, "the process that lost the slot notices", func() bool { return zombie.Status().State == StateStandby })
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(1, 200)) {
			t.Errorf("%d ids; before the other woke: %d", len(ids), len(audit(t, before)))
		}
		_ = heir
	})
}

// storedIDs returns the ids in what is there of the change log, which may have holes.
func (b *bench) storedIDs(log jetstream.Stream) (ids []string) {
	b.t.Helper()
	info, err := log.Info(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	var d wire.ChangeDecoder
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := log.GetMsg(b.t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			b.t.Fatal(err)
		}
		if _, fence := stream.Fence(m.Header); fence || m.Subject == b.source.ControlSubject() {
			continue
		}
		err = d.Decode(m.Data, func(f *change.Fragment) error {
			for _, op := range f.Ops {
				ids = append(ids, string(op.New[0]))
			}
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	return ids
}

// confirmedFlush is what the slot says.
func (b *bench) confirmedFlush() change.LSN {
	b.t.Helper()
	return b.lsn("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '" + b.slot + "'")
}

func (b *bench) lsn(sql string) change.LSN {
	b.t.Helper()
	var text string
	if err := b.db.QueryRow(context.Background(), sql).Scan(&text); err != nil {
		b.t.Fatal(err)
	}
	l, err := change.ParseLSN(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}
