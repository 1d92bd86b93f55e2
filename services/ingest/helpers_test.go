package ingest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/prepare"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// bench is a database, a NATS server and a source between them.
type bench struct {
	t      testing.TB
	url    string
	db     *pgx.Conn
	nc     *nats.Conn
	js     jetstream.JetStream
	source topology.Source
	slot   string
}

func newBench(tb testing.TB, url string) *bench {
	tb.Helper()
	if url == "" {
		url = pgtest.Database(tb)
	}
	nc, js := natstest.Conn(tb)
	b := &bench{t: tb, url: url, nc: nc, js: js, source: "test", slot: "s_" + strings.ToLower(url[strings.LastIndex(url, "/")+1:][:8])}
	b.slot = strings.Map(func(r rune) rune {
		if r == '?' || r == '=' {
			return '_'
		}
		return r
	}, b.slot)
	b.db = b.connect()
	return b
}

func (b *bench) connect() *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.url)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (b *bench) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatalf("%s: %v", sql, err)
	}
}

func (b *bench) config() Config {
	return Config{
		Source: b.source, DatabaseURL: b.url, NATS: b.nc, Slot: b.slot, Publication: "pub",
		SyncInterval: 20 * time.Millisecond,
		Log:          slog.New(slog.NewTextHandler(testWriter{b.t}, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}

// running is an Ingest whose Run is on its way.
type running struct {
	*Ingest

	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// start runs an Ingest until the test ends or stop is called, and waits until it streams.
func (b *bench) start(change ...func(*Config)) *running {
	b.t.Helper()
	r := b.launch(change...)
	select {
	case <-r.Ready():
	case <-r.done:
		b.t.Fatalf("ingest ended: %v", r.err)
	case <-time.After(patience):
		b.t.Fatalf("ingest is not ready: %+v", r.Status())
	}
	return r
}

func (b *bench) launch(change ...func(*Config)) *running {
	b.t.Helper()
	cfg := b.config()
	for _, f := range change {
		f(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Ingest: g, t: b.t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = g.Run(ctx)
	}()
	b.t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// stop ends the Ingest and requires that it ended well.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.t.Fatal("ingest does not stop")
	}
	if r.err != nil {
		r.t.Fatal(r.err)
	}
}

// publish puts tables into the publication.
func (b *bench) publish(tables ...string) {
	b.t.Helper()
	if err := prepare.EnsurePublication(b.t.Context(), b.db, "pub"); err != nil {
		b.t.Fatal(err)
	}
	for _, table := range tables {
		b.exec("ALTER PUBLICATION pub ADD TABLE " + table)
	}
}

// eventually waits until f holds.
func eventually(tb testing.TB, what string, f func() bool) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// entry is one fragment or control entry of a change log, copied.
type entry struct {
	seq     uint64
	subject string
	lsn     change.LSN // header
	after   change.LSN // header
	control *wire.Control
	rel     *change.Relation
	frag    change.Fragment
}

// barrier writes a barrier and reads the change log up to it, without it.
func (b *bench) upToBarrier() []entry {
	b.t.Helper()
	payload := fmt.Sprintf("b%d", time.Now().UnixNano())
	if _, err := pg.EmitBarrier(b.t.Context(), b.db, topology.BarrierPrefix, payload); err != nil {
		b.t.Fatal(err)
	}
	return b.readUntil(func(e entry) bool { return e.control != nil && e.control.Payload == payload })
}

// readUntil reads the change log from its beginning up to the entry that f
// accepts, without it.
func (b *bench) readUntil(f func(entry) bool) []entry {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	rels, err := registry.OpenRelations(ctx, b.js, b.source)
	if err != nil {
		b.t.Fatal(err)
	}
	log, err := b.js.Stream(ctx, b.source.ChangeStream())
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := stream.OpenReader(ctx, b.js, b.source.ChangeStream(), log.CachedInfo().State.FirstSeq)
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	var all []entry
	var d wire.ChangeDecoder
	var lastLSN change.LSN
	more := false
	for {
		m, err := r.Next(ctx)
		if err != nil {
			b.t.Fatalf("read the change log after %d entries: %v", len(all), err)
		}
		step, err := stream.StepOf(&m)
		if err != nil {
			b.t.Fatal(err)
		}
		lsn := step.LSN
		if !step.Told || len(all) > 0 && step.After != lastLSN {
			b.t.Fatalf("message %d says that it stands behind %s (%v), it stands behind %s", m.Seq, step.After, step.Told, lastLSN)
		}
		if more && lsn != lastLSN {
			b.t.Fatalf("message %d is at %s, but more was to come at %s", m.Seq, lsn, lastLSN)
		}
		if !more && lsn == lastLSN && len(all) > 0 {
			b.t.Fatalf("message %d goes on at %s, where all was there; before: %q", m.Seq, lsn, story(all))
		}
		more = step.More
		if lsn < lastLSN {
			b.t.Fatalf("message %d: LSN falls from %s to %s; before: %q", m.Seq, lastLSN, lsn, story(all))
		}
		lastLSN = lsn
		var got []entry
		if m.Subject == b.source.ControlSubject() {
			c, err := wire.DecodeControl(m.Data)
			if err != nil {
				b.t.Fatal(err)
			}
			got = append(got, entry{seq: m.Seq, subject: m.Subject, lsn: lsn, after: step.After, control: &c})
		} else {
			err = d.Decode(m.Data, func(fr *change.Fragment) error {
				rel, err := rels.Get(ctx, fr.Relation)
				if err != nil {
					return err
				}
				got = append(got, entry{seq: m.Seq, subject: m.Subject, lsn: lsn, after: step.After, rel: rel, frag: copyFragment(fr)})
				return nil
			})
			if err != nil {
				b.t.Fatal(err)
			}
		}
		for _, e := range got {
			if f(e) {
				return all
			}
			all = append(all, e)
		}
	}
}

func copyFragment(f *change.Fragment) change.Fragment {
	c := *f
	c.Tables = append([]uint32(nil), f.Tables...)
	c.Ops = nil
	for _, op := range f.Ops {
		op.Old, op.New = copyRow(op.Old), copyRow(op.New)
		c.Ops = append(c.Ops, op)
	}
	return c
}

func copyRow(r change.Row) change.Row {
	if r == nil {
		return nil
	}
	c := make(change.Row, len(r))
	for i, v := range r {
		if v != nil && !change.IsUnchanged(v) {
			v = bytes.Clone(v)
			if v == nil {
				v = []byte{}
			}
		}
		c[i] = v
	}
	return c
}
