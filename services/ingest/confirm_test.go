package ingest

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestConfirm(t *testing.T) {
	t.Run("an idle database lets go of WAL that others write", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.exec("CREATE TABLE other (v text)")
		b.publish("t")
		r := b.start()
		for range 3 {
			b.exec("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
			written := b.lsn("SELECT pg_current_wal_flush_lsn()::text")
			eventually(t, "the slot has passed what was written", func() bool { return b.confirmedFlush() >= written })
			if acked := r.Status().Acked; acked < written {
				t.Errorf("the status has %s as stored, and %s is confirmed", acked, written)
			}
		}
	})

	t.Run("what is stored is confirmed only after the sync interval", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		const interval = 2 * time.Second
		r := b.start(func(c *Config) { c.SyncInterval = interval })
		b.exec("INSERT INTO t VALUES (1)")
		b.upToBarrier()
		acked := time.Now()
		stored := r.Status().Published
		for b.confirmedFlush() <= stored {
			if time.Since(acked) > patience {
				t.Fatal("it is not confirmed")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(acked); took < interval-100*time.Millisecond || took > interval+10*time.Second {
			t.Errorf("confirmed after %s", took)
		}
	})

	t.Run("back-pressure does not end the connection, however long the server waits for us", func(t *testing.T) {
		t.Parallel()
		server := pgtest.Own(t, map[string]string{"wal_sender_timeout": "3s"})
		b := newBench(t, server.URL("postgres"))
		b.exec("CREATE TABLE t (id int PRIMARY KEY, v text)")
		b.publish("t")
		var hold sync.Mutex
		r := b.start(func(c *Config) {
			c.WindowBytes = 1 << 20
			c.Failpoint = func(p failpoint.Point) {
				if p == failpoint.AfterAck {
					hold.Lock() // waits as long as the test holds it
					defer hold.Unlock()
				}
			}
		})
		hold.Lock()
		b.exec("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i")
		var pid int
		ask := "SELECT coalesce(active_pid, 0) FROM pg_replication_slots"
		if err := b.db.QueryRow(t.Context(), ask).Scan(&pid); err != nil {
			t.Fatal(err)
		}
		eventually(t, "an append waits", func() bool { return r.Status().InFlight > 1 })
		<-time.After(9 * time.Second) // three times what the server puts up with
		published := r.Status().Messages
		if published > 40 {
			t.Errorf("%d messages passed a window of 1 MiB", published)
		}
		hold.Unlock()
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(1, 30000)) {
			t.Errorf("%d ids", len(ids))
		}
		var now int
		if err := b.db.QueryRow(t.Context(), ask).Scan(&now); err != nil {
			t.Fatal(err)
		}
		if s := r.Status(); s.Retries != 0 || now != pid {
			t.Errorf("the connection was lost: walsender %d, then %d; %+v", pid, now, s)
		}
	})

	t.Run("lasting back-pressure closes the connection for a while", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, "")
		p, through := b.behindProxy()
		b.exec("CREATE TABLE t (id int PRIMARY KEY, v text)")
		b.publish("t")
		r := b.start(through, func(c *Config) {
			c.WindowBytes = 1 << 20
			c.MaxBackPressure = 500 * time.Millisecond
		})
		b.exec("INSERT INTO t VALUES (0, '')")
		b.upToBarrier()
		p.hold(true)
		b.exec("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 5000) i")
		eventually(t, "the slot is free", func() bool {
			var active bool
			if err := b.db.QueryRow(context.Background(), "SELECT active FROM pg_replication_slots WHERE slot_name = $1", b.slot).Scan(&active); err != nil {
				t.Fatal(err)
			}
			return !active
		})
		eventually(t, "it says why", func() bool { s := r.Status(); return s.State == StateBackOff && s.LastError == errBackPressure.Error() })
		p.hold(false)
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(0, 5000)) {
			t.Errorf("%d ids", len(ids))
		}
	})

	t.Run("a server that shuts down does not wait for the sync interval", func(t *testing.T) {
		server := pgtest.Own(t, nil)
		b := newBench(t, server.URL("postgres"))
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		b.start(func(c *Config) { c.SyncInterval = time.Hour })
		b.exec("INSERT INTO t VALUES (1)")
		b.upToBarrier()
		_ = b.db.Close(context.Background())
		start := time.Now()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("the restart took %s", took)
		}
		b.db = b.connect()
		b.exec("INSERT INTO t VALUES (2)")
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(1, 2)) {
			t.Errorf("ids %v", ids)
		}
	})
}

func TestMemory(t *testing.T) {
	t.Run("a transaction of 300,000 rows takes no more memory than a window", func(t *testing.T) {
		b := newBench(t, "")
		b.otherNATS()
		b.exec("CREATE TABLE t (id int PRIMARY KEY, v text)")
		b.publish("t")
		r := b.start()
		const rows = 300_000
		b.exec("INSERT INTO t SELECT i, repeat('x', 400) FROM generate_series(1, $1::int) i", rows)
		const limit = 32 << 20 // the window, and as much again for the collector's sake
		runtime.GC()
		var base runtime.MemStats
		runtime.ReadMemStats(&base)
		peak := base.HeapAlloc
		for r.Status().Rows < rows {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-r.done:
				t.Fatal(r.err)
			case <-time.After(20 * time.Millisecond):
			}
		}
		peak -= base.HeapAlloc
		t.Logf("the heap grew by %d MiB for %d MiB of messages", peak>>20, r.Status().Bytes>>20)
		if peak > limit {
			t.Errorf("the heap grew by %d MiB, want at most %d", peak>>20, limit>>20)
		}
	})
}

func TestPacking(t *testing.T) {
	b := newBench(t, "")
	b.exec("CREATE TABLE a (id int PRIMARY KEY)")
	b.exec("CREATE TABLE b (id int PRIMARY KEY)")
	b.publish("a", "b")
	var hold sync.Mutex
	r := b.start(func(c *Config) {
		c.Failpoint = func(p failpoint.Point) {
			if p == failpoint.AfterPublish {
				hold.Lock() // waits as long as the test holds it
				defer hold.Unlock()
			}
		}
	})
	b.upToBarrier()

	t.Run("transactions on one table share a message while another one is in flight", func(t *testing.T) {
		b.t = t
		before := r.Status()
		hold.Lock()
		for i := range 100 {
			b.exec("INSERT INTO a VALUES ($1)", i)
		}
		hold.Unlock()
		eventually(t, "all are stored", func() bool { s := r.Status(); return s.Rows == before.Rows+100 && s.InFlight == 0 })
		if n := r.Status().Messages - before.Messages; n > 60 {
			t.Errorf("%d messages for 100 transactions", n)
		}
		if ids := audit(t, b.upToBarrier()); !slices.Equal(ids, numbers(0, 99)) {
			t.Errorf("ids %v", ids)
		}
	})

	t.Run("transactions on another table stay in their place", func(t *testing.T) {
		b.t = t
		hold.Lock()
		for i := range 30 {
			b.exec("INSERT INTO a VALUES ($1)", 1000+2*i)
			b.exec("INSERT INTO b VALUES ($1)", 1001+2*i)
		}
		hold.Unlock()
		ids := audit(t, b.upToBarrier())
		if !slices.Equal(ids[100:], numbers(1000, 1059)) {
			t.Errorf("ids %v", ids)
		}
	})

	t.Run("a single transaction leaves at once", func(t *testing.T) {
		b.t = t
		before := r.Status().Messages
		b.exec("INSERT INTO a VALUES (5000)")
		eventually(t, "it is stored", func() bool { s := r.Status(); return s.Messages == before+1 && s.InFlight == 0 })
	})
}
