package client_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

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

// part stores one part of a message that nobody finishes.
func (l *shapeLog) part(tail *wire.Tail, index, count int, data []byte) {
	l.tb.Helper()
	h := stream.Header(topology.HeaderTail, tail.String())
	h.Set(topology.HeaderPart, fmt.Sprintf("%d/%d", index, count))
	ok(l.tb, l.app.Append(context.Background(), stream.Message{Subject: l.subject(), Header: h, Data: data}, nil))
	ok(l.tb, l.app.Flush(context.Background()))
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

// after is the position behind an offset of the log.
func (l *shapeLog) after(at change.Offset) client.Position {
	return client.Position{Handle: l.info.Handle, Offset: at}
}
