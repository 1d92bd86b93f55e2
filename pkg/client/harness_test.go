package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

const source = topology.Source("test")

// bench is a NATS server with the shape streams of one partition, their one
// writer, a control plane that says what the test tells it, and a client.
type bench struct {
	tb     testing.TB
	server *natsembed.Server
	writes *nats.Conn // the writer's and the control plane's
	nc     *nats.Conn // the client's
	js     jetstream.JetStream
	client *client.Client
	app    *stream.Appender
	made   int
	mute   func() // stops the control plane

	conflict func() bool // whether a creation is refused for now; called by the control plane

	mu     sync.Mutex
	shapes map[string]control.Shape // by handle; guarded by mu
	create func(control.CreateRequest) (control.Shape, error)
}

func newBench(tb testing.TB, opts natsembed.Options) *bench {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs JetStream; not in -short")
	}
	if opts.Dir == "" {
		opts.Dir = tb.TempDir()
	}
	server, err := natsembed.Start(opts)
	ok(tb, err)
	tb.Cleanup(server.Stop)
	return newBenchOn(tb, server, func(o ...nats.Option) (*nats.Conn, error) { return server.Connect(o...) })
}

func newBenchOn(tb testing.TB, server *natsembed.Server, connect func(...nats.Option) (*nats.Conn, error)) *bench {
	tb.Helper()
	b := &bench{tb: tb, server: server, shapes: make(map[string]control.Shape)}
	conn := func() *nats.Conn {
		nc, err := connect()
		ok(tb, err)
		tb.Cleanup(nc.Close)
		return nc
	}
	b.writes, b.nc = conn(), conn()
	var err error
	b.js, err = jetstream.New(b.writes)
	ok(tb, err)
	ok(tb, source.EnsureShapeLogs(tb.Context(), b.js, 1, topology.ShapeLogConfig{}))
	b.openAppender()
	tb.Cleanup(func() { b.app.Close() })
	b.client, err = client.New(b.nc, string(source))
	ok(tb, err)
	b.serve()
	return b
}

func (b *bench) openAppender() {
	app, err := stream.OpenAppender(b.tb.Context(), b.writes, source.ShapeStream(0), stream.AppenderConfig{})
	ok(b.tb, err)
	b.app = app
}

// serve answers the control plane's requests.
func (b *bench) serve() {
	svc, err := micro.AddService(b.writes, micro.Config{Name: control.ServiceName, Version: "0.0.1"})
	ok(b.tb, err)
	b.tb.Cleanup(func() { _ = svc.Stop() })
	b.mute = func() { ok(b.tb, svc.Stop()) }
	g := svc.AddGroup(source.ControlPlane())
	ok(b.tb, g.AddEndpoint("create", micro.HandlerFunc(func(r micro.Request) {
		var req control.CreateRequest
		if err := json.Unmarshal(r.Data(), &req); err != nil {
			_ = r.Error(control.CodeBadRequest, err.Error(), nil)
			return
		}
		if b.conflict != nil && b.conflict() {
			_ = r.Error(control.CodeConflict, "it is being cleared away", nil)
			return
		}
		b.mu.Lock()
		f := b.create
		b.mu.Unlock()
		if f == nil {
			_ = r.Error(control.CodeBadRequest, "table "+req.Table+" does not exist", nil)
			return
		}
		s, err := f(req)
		if refused, ok := errors.AsType[*client.RequestError](err); ok {
			_ = r.Error(refused.Code, refused.Text, nil)
			return
		}
		if err != nil {
			_ = r.Error(control.CodeUnavailable, err.Error(), nil)
			return
		}
		_ = r.RespondJSON(s)
	}), micro.WithEndpointSubject(control.EndpointCreate)))
	ok(b.tb, g.AddEndpoint("get", micro.HandlerFunc(func(r micro.Request) {
		var req control.ShapeRequest
		_ = json.Unmarshal(r.Data(), &req)
		b.mu.Lock()
		s, found := b.shapes[req.Shape]
		b.mu.Unlock()
		if !found {
			_ = r.Error(control.CodeNotFound, "no shape "+req.Shape, nil)
			return
		}
		_ = r.RespondJSON(s)
	}), micro.WithEndpointSubject(control.EndpointGet)))
	ok(b.tb, g.AddEndpoint("list", micro.HandlerFunc(func(r micro.Request) {
		var req control.ListRequest
		_ = json.Unmarshal(r.Data(), &req)
		if req.After == "" {
			_ = r.RespondJSON(control.ListResponse{Shapes: []control.Shape{{ID: "a"}, {ID: "b"}}, More: true})
			return
		}
		_ = r.RespondJSON(control.ListResponse{Shapes: []control.Shape{{ID: req.After + "c"}}})
	}), micro.WithEndpointSubject(control.EndpointList)))
	ok(b.tb, b.writes.Flush())
}

// know tells the control plane of a shape.
func (b *bench) know(s control.Shape) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shapes[s.Handle] = s
}

func (b *bench) forget(handle string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.shapes, handle)
}

// columns of the tests' shape: a key of two columns around one that is none.
var columns = []control.Column{{Name: "id", Key: true}, {Name: "note"}, {Name: "part", Key: true}}

// shapeLog writes one shape's log as a consumer does.
type shapeLog struct {
	*bench

	info control.Shape
	b    *wire.LogBuilder
	tail wire.Tail // with the message being built
	sent wire.Tail // of the last message written
	unit bool      // write entries of a unit
}

func (b *bench) newLog(cols []control.Column, hasKey bool) *shapeLog {
	b.made++
	info := control.Shape{
		ID: fmt.Sprintf("id%d", b.made), Handle: fmt.Sprintf("id%d-h", b.made), State: control.StateCreating,
		Schema: "public", Table: "things", Columns: cols, HasKey: hasKey,
	}
	b.know(info)
	return &shapeLog{bench: b, info: info, b: wire.NewLogBuilder()}
}

func (l *shapeLog) subject() string { return source.LogSubject(0, l.info.Handle) }

func (l *shapeLog) open() *client.Shape {
	l.tb.Helper()
	s, err := l.client.Open(context.Background(), l.info.Handle)
	ok(l.tb, err)
	return s
}

// snapshot writes the rows to segment 0, perMessage to a message, and adds
// the entry for it.
func (l *shapeLog) snapshot(perMessage int, rows ...[]string) {
	l.tb.Helper()
	l.snapshotAt(50, perMessage, rows...)
}

// snapshotAt is snapshot read at a place in the WAL.
func (l *shapeLog) snapshotAt(lsn uint64, perMessage int, rows ...[]string) {
	l.tb.Helper()
	var messages uint64
	seg := wire.NewSegmentBuilder()
	flush := func() {
		if seg.Rows() == 0 {
			return
		}
		l.append(source.SegmentSubject(0, l.info.Handle, 0), nil, nil, seg.Bytes())
		messages++
		seg.Reset()
	}
	for _, r := range rows {
		seg.Add(values(r))
		if seg.Rows() == perMessage {
			flush()
		}
	}
	flush()
	l.b.Segment(0, messages, uint64(len(rows)), change.Snapshot{Xmin: 5, Xmax: change.FullXID(lsn), LSN: change.LSN(lsn)})
	l.tail.Began = true
}

// op adds one op; the row of a delete is its key's.
func (l *shapeLog) op(lsn, index uint64, kind change.Kind, row ...string) {
	l.opOf(lsn, lsn*10, index, kind, row...)
}

// opOf is op of a transaction with that xid.
func (l *shapeLog) opOf(lsn, xid, index uint64, kind change.Kind, row ...string) {
	project := make([]int, len(row))
	for i := range project {
		project[i] = i
	}
	l.b.Unit = l.unit
	l.b.Op(&change.Fragment{LSN: change.LSN(lsn), XID: change.XID(xid), CommitTime: int64(lsn) * 1000}, index, kind, values(row), project)
	l.tail.Last = change.Offset{LSN: change.LSN(lsn), Op: index}
}

func (l *shapeLog) commit(lsn, end uint64) { l.commitOf(lsn, lsn*10, end) }

func (l *shapeLog) commitOf(lsn, xid, end uint64) {
	l.b.Unit = l.unit
	l.b.Commit(&change.Fragment{LSN: change.LSN(lsn), XID: change.XID(xid), CommitTime: int64(lsn) * 1000, Last: true, End: end})
	l.tail.Last = change.Offset{LSN: change.LSN(lsn), Op: end}
	l.tail.Committed = l.tail.Last
}

// abort takes back what came since the last commit.
func (l *shapeLog) abort() {
	l.b.Abort()
	l.tail.Last = l.tail.Committed
}

func (l *shapeLog) end(reason string) {
	l.b.End(reason)
	l.tail.Ended, l.tail.Last = true, l.tail.Committed
}

// write stores the message built so far.
func (l *shapeLog) write() {
	l.tb.Helper()
	data := l.b.Finish()
	l.tail.Bytes += int64(len(data))
	l.append(l.subject(), &l.tail, &l.sent, data)
	l.sent = l.tail
	l.b.Reset()
}

func (l *shapeLog) append(subject string, tail, before *wire.Tail, data []byte) {
	l.tb.Helper()
	m := stream.Message{Subject: subject, Data: data}
	if tail != nil {
		m.Header = stream.Header(topology.HeaderTail, tail.String())
		m.PartHeader = stream.Header(topology.HeaderTail, before.String())
	}
	ok(l.tb, l.app.Append(context.Background(), m, nil))
	ok(l.tb, l.app.Flush(context.Background()))
}

func (l *shapeLog) purge(opts ...jetstream.StreamPurgeOpt) {
	l.tb.Helper()
	st, err := l.js.Stream(context.Background(), source.ShapeStream(0))
	ok(l.tb, err)
	ok(l.tb, st.Purge(context.Background(), append(opts, jetstream.WithPurgeSubject(l.subject()))...))
}

// null is NULL in the tests' rows.
const null = "\x00"

func values(row []string) change.Row {
	if row == nil {
		return nil
	}
	out := make(change.Row, len(row))
	for i, v := range row {
		if v != null {
			out[i] = append([]byte{}, v...)
		}
	}
	return out
}

// text writes an event as a line; long values are cut.
func text(e client.Event) string {
	switch e := e.(type) {
	case client.Begin:
		if e.Snapshot {
			return fmt.Sprintf("begin snapshot %d rows", e.Rows)
		}
		line := fmt.Sprintf("begin %d xid %d at %d", e.LSN, e.XID, e.Time.UnixMicro())
		if e.Unit {
			line += " unit"
		}
		return line
	case client.Change:
		return fmt.Sprintf("%s %s %s", e.Offset, e.Kind, rowText(e.Row))
	case client.Commit:
		if e.Snapshot {
			return fmt.Sprintf("commit snapshot %d", e.Changes)
		}
		return fmt.Sprintf("commit %s %d", e.Offset, e.Changes)
	case client.CaughtUp:
		return "caught up " + e.Offset.String()
	case client.Abort:
		return "abort " + e.Offset.String()
	case client.Stalled:
		return "stalled " + e.Err.Error()
	}
	return fmt.Sprintf("%T", e)
}

func rowText(r client.Row) string {
	var b strings.Builder
	for i := range r.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		v := string(r.At(i))
		if len(v) > 20 {
			v = fmt.Sprintf("%s…%d", v[:4], len(v))
		}
		fmt.Fprintf(&b, "%s=%s", r.Column(i).Name, v)
		if r.At(i) == nil {
			b.WriteString("NULL")
		}
	}
	return b.String()
}

// backlog reads from a position until the subscription has caught up.
func backlog(tb testing.TB, s *client.Shape, from client.Position, opts client.Options) []string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var got []string
	for e, err := range s.Subscribe(from, opts).Events(ctx) {
		if err != nil {
			tb.Fatalf("after %d events: %v", len(got), err)
		}
		if _, done := e.(client.CaughtUp); done {
			return got
		}
		got = append(got, text(e))
	}
	return nil
}

// tailing reads in the background and passes on events as lines; the error
// that ends it comes last.
func tailing(tb testing.TB, s *client.Shape, from client.Position, opts client.Options) (lines <-chan string, failed <-chan error, stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, errs := make(chan string), make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		for e, err := range s.Subscribe(from, opts).Events(ctx) {
			if err != nil {
				errs <- err
				return
			}
			if _, is := e.(client.Stalled); is { // of interest to those who wait for it only
				select {
				case out <- text(e):
				default:
				}
				continue
			}
			select {
			case out <- text(e):
			case <-ctx.Done():
				return
			}
		}
	}()
	stop = func() { cancel(); <-done }
	tb.Cleanup(stop)
	return out, errs, stop
}

// expect takes the next lines and compares them.
func expect(tb testing.TB, lines <-chan string, want ...string) {
	tb.Helper()
	for i, w := range want {
		select {
		case got := <-lines:
			if got != w {
				tb.Fatalf("line %d is %q, want %q", i, got, w)
			}
		case <-time.After(20 * time.Second):
			tb.Fatalf("no line %d, want %q", i, w)
		}
	}
}

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// part stores one part of a message that nobody finishes.
func (l *shapeLog) part(tail *wire.Tail, index, count int, data []byte) {
	l.tb.Helper()
	h := stream.Header(topology.HeaderTail, tail.String())
	h.Set(topology.HeaderPart, fmt.Sprintf("%d/%d", index, count))
	ok(l.tb, l.app.Append(context.Background(), stream.Message{Subject: l.subject(), Header: h, Data: data}, nil))
	ok(l.tb, l.app.Flush(context.Background()))
}

func mustRefetch(tb testing.TB, err error, reason string) {
	tb.Helper()
	var e *client.MustRefetchError
	if !errors.As(err, &e) || !strings.Contains(e.Reason, reason) {
		tb.Fatalf("got %v, want a MustRefetchError because of %q", err, reason)
	}
}

// failure waits for the error that ends a tailing.
func failure(tb testing.TB, failed <-chan error) error {
	tb.Helper()
	select {
	case err := <-failed:
		return err
	case <-time.After(60 * time.Second):
		tb.Fatal("it goes on")
		return nil
	}
}

// remake deletes the stream and makes it again, and writes to it some messages of another log
// first, so that sequence numbers differ.
func (b *bench) remake(others int) {
	b.tb.Helper()
	ctx := context.Background()
	b.app.Close()
	ok(b.tb, b.js.DeleteStream(ctx, source.ShapeStream(0)))
	// A server may still be removing what it has deleted, and refuses until that is done.
	err := source.EnsureShapeLogs(ctx, b.js, 1, topology.ShapeLogConfig{})
	for deadline := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(deadline); {
		err = source.EnsureShapeLogs(ctx, b.js, 1, topology.ShapeLogConfig{})
	}
	ok(b.tb, err)
	b.openAppender()
	if others > 0 {
		other := b.newLog(columns, true)
		other.snapshot(1)
		for range others {
			other.write()
		}
	}
}

// again is the writer of the same log in a stream that was made again.
func (l *shapeLog) again() { l.tail, l.sent = wire.Tail{}, wire.Tail{} }

// insert writes a transaction of one op in a message of its own.
func (l *shapeLog) insert(lsn uint64) {
	l.tb.Helper()
	l.op(lsn, 0, change.Insert, fmt.Sprint(lsn), "v", "x")
	l.commit(lsn, 2)
	l.write()
}

// inserted is what a reader sees of insert.
func inserted(lsn uint64) []string {
	return []string{
		fmt.Sprintf("begin %d xid %d at %d", lsn, lsn*10, lsn*1000),
		fmt.Sprintf("%d_0 insert id=%d,note=v,part=x", lsn, lsn),
		fmt.Sprintf("commit %d_2 1", lsn),
	}
}

// next takes lines but for those about being up to date.
func next(tb testing.TB, lines <-chan string, failed <-chan error, want ...string) {
	tb.Helper()
	deadline := time.After(60 * time.Second)
	for i := 0; i < len(want); {
		select {
		case got, more := <-lines:
			switch {
			case !more:
				tb.Fatalf("ended before line %d: %v", i, <-failed)
			case strings.HasPrefix(got, "caught up"), strings.HasPrefix(got, "stalled"):
			case got != want[i]:
				tb.Fatalf("line %d is %q, want %q", i, got, want[i])
			default:
				i++
			}
		case <-deadline:
			tb.Fatalf("no line %d, want %q", i, want[i])
		}
	}
}

// ends waits for the error that ends a view.
func ends(tb testing.TB, v *client.View) error {
	tb.Helper()
	select {
	case <-v.Done():
		return v.Err()
	case <-time.After(90 * time.Second):
		tb.Fatal("the view does not end")
		return nil
	}
}

// rest takes all lines until the end, which must come.
func rest(tb testing.TB, lines <-chan string) (all []string) {
	tb.Helper()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case line, more := <-lines:
			if !more {
				return all
			}
			all = append(all, line)
		case <-deadline:
			tb.Fatalf("it goes on, behind %q", all)
		}
	}
}

// after is the position behind an offset of the log.
func (l *shapeLog) after(at change.Offset) client.Position {
	return client.Position{Handle: l.info.Handle, Offset: at}
}
