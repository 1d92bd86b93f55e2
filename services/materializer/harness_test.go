package materializer_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/materializer"
)

const (
	source   = topology.Source("main")
	patience = 30 * time.Second
)

// lab is a source whose shape logs the test writes itself.
type lab struct {
	t      *testing.T
	server *natsembed.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	shapes *registry.Shapes
	writer map[int]*stream.Appender
	cfg    materializer.Config
}

func newLab(t *testing.T, partitions int) *lab {
	t.Helper()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	l := &lab{t: t, server: natstest.Start(t), writer: map[int]*stream.Appender{}}
	l.nc = l.dial()
	var err error
	l.js, err = jetstream.New(l.nc)
	l.ok(err)
	l.ok(source.EnsureRegistry(t.Context(), l.js, 1))
	l.ok(source.EnsureShapeLogs(t.Context(), l.js, partitions, topology.ShapeLogConfig{}))
	l.shapes, err = registry.OpenShapes(t.Context(), l.js, source)
	l.ok(err)
	_, err = l.shapes.EnsureSource(t.Context(), registry.Source{Partitions: partitions, Publication: "p", Slot: "s"})
	l.ok(err)
	l.cfg = materializer.Config{
		Source: source, AckInterval: 2 * time.Millisecond, TrimInterval: 20 * time.Millisecond, SyncInterval: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	return l
}

func (l *lab) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) dial() *nats.Conn {
	l.t.Helper()
	nc, err := l.server.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	l.ok(err)
	l.t.Cleanup(nc.Close)
	return nc
}

// until polls a condition that has no signal.
func (l *lab) until(what string, ok func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			l.t.Fatalf("waited %s until %s", patience, what)
		}
		<-tick.C
	}
}

// process is a materializer that runs.
type process struct {
	*materializer.Materializer

	l    *lab
	name string
	nc   *nats.Conn
	stop func() // softly
	kill func() // leaves its lease and its announcement behind, which the test then lets run out
}

// run starts a materializer and waits until it takes part.
func (l *lab) run(name string, change func(*materializer.Config)) *process {
	l.t.Helper()
	cfg := l.cfg
	cfg.Name, cfg.NATS = name, l.dial()
	if change != nil {
		change(&cfg)
	}
	m, err := materializer.New(cfg)
	l.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Run(ctx); err != nil {
			l.t.Errorf("materializer %s: %v", name, err)
		}
	}()
	p := &process{Materializer: m, l: l, name: name, nc: cfg.NATS}
	p.stop = sync.OnceFunc(func() { cancel(); <-done })
	p.kill = sync.OnceFunc(func() { p.nc.Close(); p.stop(); l.expire(name) })
	l.t.Cleanup(p.stop)
	select {
	case <-m.Ready():
	case <-time.After(patience):
		l.t.Fatalf("materializer %s is not ready; last error: %s", name, m.Status().LastError)
	}
	return p
}

// expire lets a dead process' leases and announcement run out at once.
func (l *lab) expire(name string) {
	l.t.Helper()
	for _, bucket := range []string{source.LeaseBucket(), source.MemberBucket()} {
		kv, err := l.js.KeyValue(l.t.Context(), bucket)
		l.ok(err)
		keys, err := kv.ListKeys(l.t.Context())
		l.ok(err)
		for key := range keys.Keys() {
			e, err := kv.Get(l.t.Context(), key)
			if err != nil {
				continue
			}
			if holder, _, _ := strings.Cut(string(e.Value()), " "); holder == name { // a lease names an incarnation, too
				l.ok(kv.Purge(l.t.Context(), key))
			}
		}
	}
}

// log writes the log of an inner shape: columns a (bigint) and b (text), with a as its key.
type log struct {
	l         *lab
	id        string
	handle    string
	partition int
	b         *wire.LogBuilder
	tail      wire.Tail
	sent      wire.Tail
	tx        change.Fragment
}

// inner stores the record of an inner shape; its log is empty.
func (l *lab) inner(name string, partition int) *log {
	l.t.Helper()
	id := idOf(name)
	g := &log{l: l, id: id, handle: id + "-1", partition: partition, b: wire.NewLogBuilder()}
	l.ok(l.shapes.Put(l.t.Context(), &registry.Shape{
		ID: id, Handle: g.handle, Partition: partition, State: control.StateLive,
		Definition: shape.Definition{Schema: "public", Table: "t", Columns: []string{"a", "b"}},
		Table: &pg.TableInfo{PrimaryKey: []string{"a"}, Relation: change.Relation{
			Schema: "public", Name: "t", Columns: []change.Column{{Name: "a", Type: 20, TypeMod: -1}, {Name: "b", Type: 25, TypeMod: -1}},
		}},
	}))
	return g
}

// idOf is the id of a shape that a test calls by a name.
func idOf(name string) string { return fmt.Sprintf("%016x", crc32.ChecksumIEEE([]byte(name))) }

// outer stores the record of a shape that depends on the values of columns of the inner one, and returns their set's name.
func (g *log) outer(name string, unit bool, columns ...int) string {
	g.l.t.Helper()
	id := idOf(name)
	q := registry.Subquery{ID: g.id, Handle: g.handle, Partition: g.partition, Columns: columns, Unit: unit}
	g.l.ok(g.l.shapes.Put(g.l.t.Context(), &registry.Shape{
		ID: id, Handle: id + "-1", State: control.StateCreating, Subqueries: []registry.Subquery{q},
		Definition: shape.Definition{Schema: "public", Table: "u", Columns: []string{"a"}},
	}))
	return q.ValueSet()
}

// set changes the state of a shape's record; "" removes it.
func (l *lab) set(name string, state control.State) {
	l.t.Helper()
	id := idOf(name)
	if state == "" {
		rec, err := l.shapes.Get(l.t.Context(), id)
		l.ok(err)
		l.ok(l.shapes.Delete(l.t.Context(), rec))
		return
	}
	_, err := l.shapes.Change(l.t.Context(), id, func(r *registry.Shape) bool { r.State = state; return true })
	l.ok(err)
}

func (l *lab) appender(partition int) *stream.Appender {
	l.t.Helper()
	if l.writer[partition] == nil {
		out, err := stream.OpenAppender(l.t.Context(), l.nc, source.ShapeStream(partition), stream.AppenderConfig{})
		l.ok(err)
		l.t.Cleanup(out.Close)
		l.writer[partition] = out
	}
	return l.writer[partition]
}

func (l *lab) append(partition int, m stream.Message) (seq uint64) {
	l.t.Helper()
	l.ok(l.appender(partition).Append(l.t.Context(), m, nil))
	l.ok(l.appender(partition).Flush(l.t.Context()))
	return l.appender(partition).Stored()
}

// cells makes a row; "-" stands for NULL.
func cells(values ...string) change.Row {
	row := make(change.Row, len(values))
	for i, v := range values {
		if v != "-" {
			row[i] = []byte(v)
		}
	}
	return row
}

// begin writes the snapshot: rows are "a b", in messages of so many.
func (g *log) begin(perMessage int, rows ...string) {
	g.l.t.Helper()
	segment, messages := wire.NewSegmentBuilder(), uint64(0)
	flush := func() {
		g.l.append(g.partition, stream.Message{Subject: source.SegmentSubject(g.partition, g.handle, 1), Data: segment.Bytes()})
		segment.Reset()
		messages++
	}
	for _, r := range rows {
		if segment.Add(cells(strings.Split(r, " ")...)); segment.Rows() == perMessage {
			flush()
		}
	}
	if segment.Rows() > 0 {
		flush()
	}
	g.b.Segment(1, messages, uint64(len(rows)), change.Snapshot{Xmin: 1, Xmax: 2})
	g.tail.Began = true
	g.send()
}

// at begins a transaction.
func (g *log) at(lsn change.LSN) *log {
	g.tx = change.Fragment{LSN: lsn, XID: change.XID(lsn) + 1000}
	return g
}

// op adds an op: "+1 x" inserts, "=1 y" updates, "-1" deletes, "!" truncates; "u1 x" upserts, "d1" discards.
func (g *log) op(ops ...string) *log {
	for _, o := range ops {
		kind := map[byte]change.Kind{'+': change.Insert, '=': change.Update, '-': change.Delete, '!': change.Truncate, 'u': change.Upsert, 'd': change.Discard}[o[0]]
		var row change.Row
		var project []int
		if kind != change.Truncate {
			row = cells(strings.Split(o[1:], " ")...)
			project = []int{0, 1}[:len(row)]
		}
		g.b.Op(&g.tx, g.tx.End, kind, row, project)
		g.tail.Last = change.Offset{LSN: g.tx.LSN, Op: g.tx.End}
		g.tx.End += change.OpStep
	}
	return g
}

// commit adds the transaction's marker.
func (g *log) commit() *log {
	g.tx.Last = true
	g.b.Commit(&g.tx)
	g.tail.Last = g.tx.Marker()
	g.tail.Committed = g.tail.Last
	return g
}

// send appends what was added as one message and returns its last sequence.
func (g *log) send() uint64 {
	g.l.t.Helper()
	data := g.b.Finish()
	g.tail.Bytes += int64(len(data))
	seq := g.l.append(g.partition, stream.Message{
		Subject: source.LogSubject(g.partition, g.handle), Header: stream.Header(topology.HeaderTail, g.tail.String()),
		PartHeader: stream.Header(topology.HeaderTail, g.sent.String()), Data: data,
	})
	g.sent = g.tail
	unit := g.b.Unit
	g.b.Reset()
	g.b.Unit = unit
	return seq
}

// end writes the log's last word.
func (g *log) end(reason string) {
	g.b.End(reason)
	g.tail.Ended = true
	g.send()
}

// verdicts reads all verdicts on a set as they stand.
func (l *lab) verdicts(partition int, set string) []*wire.Verdict {
	l.t.Helper()
	r := stream.NewSubjectReader(l.js, source.VerdictStream(partition), source.VerdictSubject(partition, set), 1)
	var all []*wire.Verdict
	after := ""
	for {
		m, more, err := r.Next(l.t.Context())
		if errors.Is(err, nats.ErrNoResponders) { // the stream is not there yet
			return all
		}
		l.ok(err)
		if !more {
			return all
		}
		v, err := wire.DecodeVerdict(m.Data)
		l.ok(err)
		if h := m.Header.Get(topology.HeaderVerdict); h != v.Offset.String() {
			l.t.Fatalf("verdict %s has header %q", v.Offset, h)
		}
		if h := m.Header.Get(topology.HeaderVerdictAfter); h != after && after != "" {
			l.t.Fatalf("verdict %s says it is behind %q, and is behind %q", v.Offset, h, after)
		}
		after = v.Offset.String()
		all = append(all, v)
	}
}

// wantVerdicts waits for the verdict at a marker and compares all there are: "<lsn>_<op>: <value> <delta>, …".
func (l *lab) wantVerdicts(partition int, set string, want ...string) {
	l.t.Helper()
	var got []string
	l.until(fmt.Sprintf("there are %d verdicts on %s", len(want), set), func() bool {
		got = nil
		for _, v := range l.verdicts(partition, set) {
			got = append(got, text(v))
		}
		return len(got) >= len(want)
	})
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		l.t.Fatalf("verdicts on %s:\n%s\nwant:\n%s", set, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func text(v *wire.Verdict) string {
	s := v.Offset.String() + ":"
	comma := ""
	for key, n := range v.Deltas.All() {
		s += comma + " " + show(string(key)) + " " + strconv.FormatInt(n, 10)
		comma = ","
	}
	return s
}

func show(key string) string {
	parts, err := valueset.Components(key)
	if err != nil {
		return err.Error()
	}
	var s []string
	for _, p := range parts {
		if p == nil {
			s = append(s, "NULL")
		} else {
			s = append(s, string(p))
		}
	}
	return strings.Join(s, "/")
}

// base reads the last base of a set.
func (l *lab) base(partition int, set string) (b wire.Base, values map[string]int64, ok bool) {
	l.t.Helper()
	st, err := l.js.Stream(l.t.Context(), source.VerdictStream(partition))
	l.ok(err)
	m, err := st.GetLastMsgForSubject(l.t.Context(), source.BaseSubject(partition, set))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return b, nil, false
	}
	l.ok(err)
	b, err = wire.DecodeBase(m.Data)
	l.ok(err)
	values = map[string]int64{}
	r := stream.NewSubjectReader(l.js, source.VerdictStream(partition), source.BaseValuesSubject(partition, set, b.Number), 1)
	for range b.Messages {
		m, more, err := r.Next(l.t.Context())
		l.ok(err)
		if !more {
			return b, nil, false // purged for a newer one meanwhile
		}
		page, err := wire.DecodeBaseValues(m.Data)
		l.ok(err)
		for key, n := range page.All() {
			values[show(string(key))] = n
		}
	}
	if uint64(len(values)) != b.Values {
		l.t.Fatalf("base %+v has %d values", b, len(values))
	}
	return b, values, true
}

// values are what a reader makes of the last base and the verdicts behind it.
func (l *lab) values(partition int, set string) map[string]int64 {
	l.t.Helper()
	b, values, ok := l.base(partition, set)
	if !ok {
		return nil
	}
	for _, v := range l.verdicts(partition, set) {
		if !b.Offset().Before(v.Offset) {
			continue
		}
		for key, n := range v.Deltas.All() {
			if values[show(string(key))] += n; values[show(string(key))] == 0 {
				delete(values, show(string(key)))
			}
		}
	}
	return values
}

func (l *lab) wantValues(partition int, set string, want map[string]int64) {
	l.t.Helper()
	var got map[string]int64
	deadline := time.Now().Add(patience)
	for got = l.values(partition, set); !maps.Equal(got, want); got = l.values(partition, set) {
		if time.Now().After(deadline) {
			l.t.Fatalf("set %s is %v, want %v", set, got, want)
		}
	}
}

// durable is how far the durable was acknowledged and delivered.
func (l *lab) durable(partition int) (acked, delivered uint64) {
	l.t.Helper()
	c, err := l.js.Consumer(l.t.Context(), source.ShapeStream(partition), topology.MaterializerDurable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, 0
	}
	l.ok(err)
	info := c.CachedInfo()
	return info.AckFloor.Stream, info.Delivered.Stream
}

// live waits until a process follows so many sets.
func (p *process) live(n int64) {
	p.l.t.Helper()
	p.l.until(fmt.Sprintf("%s follows %d sets", p.name, n), func() bool { return p.Status().Live == n })
}
