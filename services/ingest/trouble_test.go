package ingest

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// failure runs an Ingest that must end by itself, and returns why.
func (b *bench) failure(change ...func(*Config)) string {
	b.t.Helper()
	r := b.launch(change...)
	select {
	case <-r.done:
	case <-time.After(patience):
		b.t.Fatalf("it does not give up: %+v", r.Status())
	}
	if r.err == nil {
		b.t.Fatal("no error")
	}
	if r.Status().State != StateStopped {
		b.t.Errorf("state %s", r.Status().State)
	}
	return r.err.Error()
}

func wantText(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%q does not say %q", got, w)
		}
	}
}

func TestFatal(t *testing.T) {
	t.Parallel()
	t.Run("wal_level", func(t *testing.T) {
		server := pgtest.Own(t, map[string]string{"wal_level": "replica", "max_wal_senders": "0"})
		b := newBench(t, server.URL("postgres"))
		wantText(t, b.failure(), "ALTER SYSTEM SET wal_level = logical", "max_wal_senders")
	})
	t.Run("a role without REPLICATION", func(t *testing.T) {
		b := newBench(t, "")
		b.publish()
		role := "r_" + b.slot
		b.exec("CREATE ROLE " + role + " LOGIN")
		t.Cleanup(func() {
			conn, err := pgx.Connect(context.Background(), b.url)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
			_ = conn.Close(context.Background())
		})
		got := b.failure(func(c *Config) { c.DatabaseURL = strings.Replace(b.url, "postgres@", role+"@", 1) })
		wantText(t, got, `ALTER ROLE "`+role+`" REPLICATION`)
	})
	t.Run("wrong database, password or address", func(t *testing.T) {
		b := newBench(t, "")
		got := b.failure(func(c *Config) { c.DatabaseURL = strings.Replace(b.url, "/t_", "/nothing_", 1) })
		wantText(t, got, "nothing_", "does not exist", "CREATE DATABASE")
		got = b.failure(func(c *Config) { c.DatabaseURL = "postgres://u:secret@h:1:2/x" })
		wantText(t, got, "connection string")
		if strings.Contains(got, "secret") {
			t.Errorf("%q tells the password", got)
		}
	})
	t.Run("a slot of another plugin or database", func(t *testing.T) {
		b := newBench(t, "")
		b.exec("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", b.slot)
		wantText(t, b.failure(), "not a pgoutput slot")
		other := newBench(t, "")
		other.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", other.slot)
		wantText(t, b.failure(func(c *Config) { c.Slot = other.slot }), "belongs to database")
	})
	t.Run("another cluster behind the source's name", func(t *testing.T) {
		b := newBench(t, "")
		b.publish()
		b.start().stop()
		server := pgtest.Own(t, nil)
		got := b.failure(func(c *Config) { c.DatabaseURL = server.URL("postgres") })
		wantText(t, got, "another Postgres cluster", "another source name")
	})
	t.Run("a closed connection to NATS", func(t *testing.T) {
		b := newBench(t, "")
		b.nc.Close()
		wantText(t, b.failure(), "closed")
	})
	t.Run("NATS without JetStream", func(t *testing.T) {
		b := newBench(t, "")
		s, err := natsserver.NewServer(&natsserver.Options{DontListen: true, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(s.Shutdown)
		nc, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		wantText(t, b.failure(func(c *Config) { c.NATS = nc }), "JetStream", "--jetstream")
	})
}

func TestNew(t *testing.T) {
	good := Config{Source: "s", DatabaseURL: "postgres://h/d", NATS: &nats.Conn{}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no source":           func(c *Config) { c.Source = "" },
		"a source with a dot": func(c *Config) { c.Source = "a.b" },
		"no database":         func(c *Config) { c.DatabaseURL = "" },
		"no NATS":             func(c *Config) { c.NATS = nil },
		"negative sizes":      func(c *Config) { c.FragmentOps = -1 },
		"negative times":      func(c *Config) { c.SyncInterval = -1 },
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			cfg := good
			change(&cfg)
			if _, err := New(cfg); err == nil {
				t.Error("no error")
			}
		})
	}
}

// onSlot runs a statement on the slot of an ingest that has stopped.
func (b *bench) onSlot(sql string) {
	b.t.Helper()
	if err := pgtest.FreeSlot(b.t.Context(), b.db, b.slot); err != nil {
		b.t.Fatal(err)
	}
	b.exec(sql, b.slot)
}

func TestGaps(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) *bench {
		t.Helper()
		b := newBench(t, "")
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.publish("t")
		r := b.start()
		b.exec("INSERT INTO t VALUES (1)")
		b.upToBarrier()
		eventually(t, "all is confirmed", func() bool { s := r.Status(); return s.Confirmed > s.Published })
		r.stop()
		return b
	}
	// goesOn requires a reset for the given reason, and that the log goes on behind it.
	goesOn := func(t *testing.T, b *bench, reason string, want ...string) {
		t.Helper()
		r := b.start()
		b.exec("INSERT INTO t VALUES (100)")
		entries := b.upToBarrier()
		reasons := resets(entries)
		if len(reasons) == 0 || !strings.Contains(reasons[len(reasons)-1], reason) {
			b.t.Fatalf("resets %q", reasons)
		}
		if ids := audit(t, entries); !slices.Equal(ids, append(want, "100")) {
			b.t.Errorf("ids %v", ids)
		}
		r.stop()
		b.start()
		if again := resets(b.upToBarrier()); len(again) != len(reasons) {
			b.t.Errorf("resets after another start %q", again)
		}
	}
	t.Run("a slot that was dropped is made again", func(t *testing.T) {
		b := setup(t)
		b.onSlot("SELECT pg_drop_replication_slot($1)")
		b.exec("INSERT INTO t VALUES (2)")
		goesOn(t, b, "created anew", "1")
	})
	t.Run("a slot that somebody made again is noticed", func(t *testing.T) {
		b := setup(t)
		b.onSlot("SELECT pg_drop_replication_slot($1)")
		b.exec("INSERT INTO t VALUES (2)")
		b.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", b.slot)
		b.exec("INSERT INTO t VALUES (3)")
		goesOn(t, b, "created anew or moved", "1", "3")
	})
	t.Run("a slot that somebody moved is noticed", func(t *testing.T) {
		b := setup(t)
		b.exec("INSERT INTO t VALUES (2)")
		b.onSlot("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())")
		b.exec("INSERT INTO t VALUES (3)")
		goesOn(t, b, "moved", "1", "3")
	})
	t.Run("a change log that was deleted goes on where the slot is", func(t *testing.T) {
		b := setup(t)
		b.exec("INSERT INTO t VALUES (2)")
		if err := b.js.DeleteStream(t.Context(), b.source.ChangeStream()); err != nil {
			t.Fatal(err)
		}
		b.start()
		entries := b.upToBarrier()
		if ids := audit(t, entries); !slices.Equal(ids, []string{"2"}) || len(resets(entries)) != 0 {
			t.Errorf("ids %v, resets %q", ids, resets(entries))
		}
		if entries[0].after == 0 || entries[0].after >= entries[0].lsn {
			t.Errorf("the first message is at %s and stands behind %s; want the place of what was lost", entries[0].lsn, entries[0].after)
		}
	})
	t.Run("a lost slot is made again", func(t *testing.T) {
		server := pgtest.Own(t, map[string]string{"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"})
		b := newBench(t, server.URL("postgres"))
		b.exec("CREATE TABLE t (id int PRIMARY KEY)")
		b.exec("CREATE TABLE other (v text)")
		b.publish("t")
		b.start().stop()
		lost := false
		for range 20 {
			b.exec("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
			b.exec("SELECT pg_switch_wal()")
			b.exec("CHECKPOINT")
			slot, err := slots.Lookup(t.Context(), b.db, b.slot)
			if err != nil {
				t.Fatal(err)
			}
			if lost = slot.Lost(); lost {
				break
			}
		}
		if !lost {
			t.Fatal("the slot is not lost")
		}
		goesOn(t, b, "removed WAL")
	})
	t.Run("a publication that was gone for a while costs a new slot", func(t *testing.T) {
		b := setup(t)
		b.exec("DROP PUBLICATION pub")
		b.exec("INSERT INTO t VALUES (2)")
		b.publish("t")
		r := b.launch()
		eventually(t, "the slot was made again", func() bool { s := r.Status(); return s.Retries > 0 && s.State == StateStreaming })
		r.stop()
		goesOn(t, b, "publication pub was dropped", "1")
	})
}

// TestAGapIsOfTheSlotThatHadIt: a process that has met a gap, and comes to the slot when another one has met it too, made the slot again and
// streamed, goes on with that slot.
func TestAGapIsOfTheSlotThatHadIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	b.exec("CREATE TABLE t (id int PRIMARY KEY)")
	b.publish("t")
	b.start().stop()
	b.exec("DROP PUBLICATION pub")
	b.exec("INSERT INTO t VALUES (1)")
	b.publish("t")
	met := &holdingHandler{Handler: slog.DiscardHandler, at: "replication session ended, trying again", held: make(chan struct{}), release: make(chan struct{})}
	first := b.launch(func(c *Config) { c.Log = slog.New(met) })
	select {
	case <-met.held:
	case <-time.After(patience):
		t.Fatal("the first has not met the gap")
	}
	second := b.launch()
	eventually(t, "the slot was made again", func() bool { s := second.Status(); return s.Retries > 0 && s.State == StateStreaming })
	b.exec("INSERT INTO t VALUES (2)")
	if got := resets(b.upToBarrier()); len(got) != 1 {
		t.Fatalf("resets %q", got)
	}
	second.stop()
	close(met.release)
	eventually(t, "the first streams", func() bool { return first.Status().State == StateStreaming })
	b.exec("INSERT INTO t VALUES (3)")
	entries := b.upToBarrier()
	if got := resets(entries); len(got) != 1 {
		t.Errorf("resets %q", got)
	}
	if ids := audit(t, entries); !slices.Equal(ids, numbers(2, 3)) {
		t.Errorf("ids %v", ids)
	}
}

// holdingHandler holds up whoever logs a message for the first time, until it is released.
type holdingHandler struct {
	slog.Handler

	at            string
	once          sync.Once
	held, release chan struct{}
}

func (h *holdingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *holdingHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *holdingHandler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.at {
		h.once.Do(func() { close(h.held); <-h.release })
	}
	return nil
}

// A slot that nobody reads keeps WAL for ever, so it is made when nothing else can fail.
func TestNoSlotIsMadeForNothing(t *testing.T) {
	t.Parallel()
	slots := func(b *bench) (n int) {
		b.t.Helper()
		if err := b.db.QueryRow(b.t.Context(), "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", b.slot).Scan(&n); err != nil {
			b.t.Fatal(err)
		}
		return n
	}
	t.Run("while JetStream has no room for the change log", func(t *testing.T) {
		b := newBench(t, "")
		r := b.launch(func(c *Config) { c.ChangeLog.MaxBytes = 1 << 60 })
		eventually(t, "it has tried again", func() bool { return r.Status().Retries > 1 })
		wantText(t, r.Status().LastError, "more file storage to JetStream")
		if slots(b) != 0 {
			t.Error("there is a slot")
		}
		r.stop()
		b.start()
		if slots(b) != 1 {
			t.Error("there is no slot")
		}
	})
	t.Run("in another cluster than the source's", func(t *testing.T) {
		b := newBench(t, "")
		b.start().stop()
		server := pgtest.Own(t, nil)
		wantText(t, b.failure(func(c *Config) { c.DatabaseURL = server.URL("postgres") }), "another Postgres cluster")
		b.url = server.URL("postgres")
		b.db = b.connect()
		if slots(b) != 0 {
			t.Error("there is a slot")
		}
	})
}

func TestLeftTimeline(t *testing.T) {
	history := []byte("1\t0/3000000\tno recovery target specified\n\n2\t0/5000148\tbefore 2000-01-01\n")
	for timeline, want := range map[int32]change.LSN{1: 0x3000000, 2: 0x5000148, 9: 1} {
		if got, err := leftTimeline(history, timeline); err != nil || got != want {
			t.Errorf("timeline %d: %s, %v", timeline, got, err)
		}
	}
}
