// Package logcheck judges a shape's log as it is stored: it replays it from
// its first message and says whether the log is lawful (offsets strictly
// increase, no op touches a row that cannot be there, every transaction ends
// in a marker, headers tell the truth) and whether its rows are those of the
// shape's SELECT. It shares no code with the consumer or the client beyond the
// wire forms, so that it can judge both.
package logcheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pg"
	"github.com/shapebus/shapebus/pkg/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// State is what a log amounts to.
type State struct {
	Rows     map[string]int // row as text → how often it is there
	Messages int
	Ops      int
	Markers  int
	Units    int           // of the markers, those of units
	Voids    int           // how often a unit was begun again
	Last     change.Offset // of the last marker
	Open     bool          // the log ends inside a transaction; Rows is as of Last
	Ended    string        // the reason, if the shape ended
	Tail     wire.Tail
}

// Marker is a commit marker, and the shape as it is there.
type Marker struct {
	Offset   change.Offset
	Unit     bool            // that of a unit
	XID      change.XID      // of the transaction; of a unit, whatever its last entry says
	Snapshot change.Snapshot // what the rows are from; of the log's first marker only
	Tail     wire.Tail       // of the message that holds it
	Behind   []Place         // of the markers behind it in that message

	rows map[string][]string
}

// Place is where a marker stands, and whose it is.
type Place struct {
	Offset change.Offset
	XID    change.XID
	Unit   bool
}

// Rows are the shape's rows as Select gives them.
func (m *Marker) Rows() map[string]int { return counted(m.rows) }

func counted(byKey map[string][]string) map[string]int {
	out := make(map[string]int, len(byKey))
	for _, rows := range byKey {
		for _, row := range rows {
			out[row]++
		}
	}
	return out
}

// replay is a State in the making.
type replay struct {
	State

	shape     control.Shape
	segment   func(n uint64, f func(data []byte) error) error
	onMarker  func(*Marker) error
	markers   []Place   // of the message at hand, those to come
	tail      wire.Tail // of the message at hand
	key       []int
	rows      map[string][]string // as of the last marker: key → rows (more than one only without a primary key)
	open      []logOp             // since the last marker
	unit      bool                // open is part of a unit
	unknown   bool                // open has upserts or discards, so nobody knows how many rows there are
	count     int                 // rows, with the open ops
	committed int                 // rows, without them
	last      change.Offset
	began     bool
}

// logOp is an op that waits for its transaction's marker.
type logOp struct {
	at       change.Offset
	kind     change.Kind
	key, row string
}

// Replay reads the whole log of a shape.
func Replay(ctx context.Context, js jetstream.JetStream, source topology.Source, shape control.Shape) (*State, error) {
	streamName := source.ShapeStream(shape.Partition)
	r := newReplay(shape, func(n uint64, f func([]byte) error) error {
		subject := source.SegmentSubject(shape.Partition, shape.Handle, n)
		return messages(ctx, js, streamName, subject, func(_ string, data []byte) error { return f(data) })
	})
	err := messages(ctx, js, streamName, source.LogSubject(shape.Partition, shape.Handle), r.message)
	if err != nil {
		return nil, r.fault(err)
	}
	return r.state(), nil
}

func newReplay(shape control.Shape, segment func(uint64, func([]byte) error) error) *replay {
	r := &replay{shape: shape, segment: segment, rows: map[string][]string{}}
	for i, c := range shape.Columns {
		if c.Key {
			r.key = append(r.key, i)
		}
	}
	return r
}

func (r *replay) fault(err error) error {
	return fmt.Errorf("log of shape %s: %w", r.shape.Handle, err)
}

func (r *replay) state() *State {
	r.Rows = counted(r.rows)
	return &r.State
}

// message takes the next message of the log.
func (r *replay) message(header string, data []byte) (err error) {
	if r.tail, err = wire.ParseTail(header); err != nil {
		return err
	}
	r.Messages++
	var d wire.LogDecoder
	if r.onMarker != nil {
		r.markers = r.markers[:0]
		err = d.Decode(data, func(e *wire.Entry) error {
			if p, ok := marker(e); ok {
				r.markers = append(r.markers, p)
			}
			return nil
		})
	}
	if err == nil {
		err = d.Decode(data, r.entry)
	}
	if err != nil {
		return fmt.Errorf("message %d: %w", r.Messages, err)
	}
	r.Tail = r.tail
	return r.checkTail()
}

// marker is the commit marker that an entry carries, if it does.
func marker(e *wire.Entry) (Place, bool) {
	switch e.Kind {
	case wire.EntryOps, wire.EntryUnit:
		return Place{change.Offset{LSN: e.LSN, Op: e.End}, e.XID, e.Kind == wire.EntryUnit}, e.Last
	case wire.EntrySegment:
		return Place{}, true
	case wire.EntryEnd, wire.EntryVoid:
	}
	return Place{}, false
}

// messages calls f with each whole message under a subject.
func messages(ctx context.Context, js jetstream.JetStream, streamName, subject string, f func(tail string, data []byte) error) error {
	var parts stream.Assembler
	next := uint64(1)
	for {
		batch, err := jetstreamext.GetBatch(ctx, js, streamName, 100, jetstreamext.GetBatchSubject(subject), jetstreamext.GetBatchSeq(next), jetstreamext.GetBatchMaxBytes(4<<20))
		if err != nil {
			return err
		}
		got := false
		for m, err := range batch {
			if errors.Is(err, jetstreamext.ErrNoMessages) {
				break
			}
			if err != nil {
				return err
			}
			got, next = true, m.Sequence+1
			data, whole, err := parts.Add(m.Subject, m.Header, m.Data)
			if err != nil {
				return err
			}
			if !whole {
				continue
			}
			if err := f(m.Header.Get(topology.HeaderTail), data); err != nil {
				return err
			}
		}
		if !got {
			return nil
		}
	}
}

func (r *replay) entry(e *wire.Entry) error {
	if r.Ended != "" {
		return errors.New("an entry after the one that ended the shape")
	}
	switch e.Kind {
	case wire.EntryEnd:
		r.Ended = e.Reason
	case wire.EntrySegment:
		return r.snapshot(e)
	case wire.EntryOps, wire.EntryUnit:
		if !r.began {
			return errors.New("ops before the snapshot")
		}
		return r.ops(e)
	case wire.EntryVoid:
		r.open, r.unit, r.unknown = r.open[:0], false, false
		r.last, r.count = r.Last, r.committed
		r.Voids++
	}
	return nil
}

// snapshot takes the rows that the log begins with.
func (r *replay) snapshot(e *wire.Entry) error {
	if r.began {
		return errors.New("a second snapshot")
	}
	r.began = true
	var n, rows uint64
	err := r.segment(e.Segment, func(data []byte) error {
		n++
		return wire.DecodeSegment(data, func(row change.Row) error {
			rows++
			return r.gather(change.Insert, row)
		})
	})
	if err != nil {
		return fmt.Errorf("segment %d: %w", e.Segment, err)
	}
	if n != e.Messages || rows != e.Rows {
		return fmt.Errorf("segment %d has %d rows in %d messages, but the log says %d in %d", e.Segment, rows, n, e.Rows, e.Messages)
	}
	snap, err := change.ParseSnapshot(e.Snapshot)
	if err != nil {
		return err
	}
	snap.LSN = e.LSN
	return r.mark(&Marker{Snapshot: snap})
}

func (r *replay) ops(e *wire.Entry) error {
	unit := e.Kind == wire.EntryUnit
	if r.last != r.Last {
		switch {
		case unit != r.unit:
			return fmt.Errorf("transaction %d is partly in a unit", e.LSN)
		case !unit && r.last.LSN != e.LSN:
			return fmt.Errorf("transaction %d begins inside transaction %d", e.LSN, r.last.LSN)
		}
	}
	r.unit = unit
	for _, op := range e.Ops {
		if err := r.advance(change.Offset{LSN: e.LSN, Op: op.Index}); err != nil {
			return err
		}
		r.Ops++
		if err := r.gather(op.Kind, op.Row); err != nil {
			return fmt.Errorf("op %d_%d: %w", e.LSN, op.Index, err)
		}
	}
	if e.Last {
		if err := r.advance(change.Offset{LSN: e.LSN, Op: e.End}); err != nil {
			return err
		}
		return r.mark(&Marker{Offset: r.last, Unit: unit, XID: e.XID})
	}
	return nil
}

func (r *replay) advance(o change.Offset) error {
	if !r.last.Before(o) {
		return fmt.Errorf("offset %s after %s", o, r.last)
	}
	r.last = o
	return nil
}

// gather notes an op of the open transaction.
func (r *replay) gather(kind change.Kind, row change.Row) error {
	op := logOp{at: r.last, kind: kind}
	want := len(r.shape.Columns)
	switch kind {
	case change.Insert, change.Update, change.Upsert:
		op.row = text(row)
		op.key = text(pick(row, r.key))
	case change.Delete, change.Discard:
		want = len(r.key)
		op.key = text(row)
	case change.Truncate:
		want = 0
		r.count = 0
	}
	if len(row) != want {
		return fmt.Errorf("%s with %d columns, want %d", kind, len(row), want)
	}
	switch kind {
	case change.Insert:
		r.count++
	case change.Delete:
		r.count--
	case change.Upsert, change.Discard:
		if !r.unit {
			return fmt.Errorf("%s outside of a unit", kind)
		}
		r.unknown = true
	case change.Update, change.Truncate:
	}
	r.open = append(r.open, op)
	return nil
}

// mark applies the open transaction or unit.
func (r *replay) mark(m *Marker) error {
	for _, op := range r.open {
		if err := r.apply(op); err != nil {
			return fmt.Errorf("op %s: %w", op.at, err)
		}
	}
	if r.unit {
		r.Units++
	}
	if r.unknown {
		r.count = 0
		for _, rows := range r.rows {
			r.count += len(rows)
		}
	}
	r.open, r.unit, r.unknown = r.open[:0], false, false
	r.Markers++
	r.Last = r.last
	r.committed = r.count
	if r.onMarker == nil {
		return nil
	}
	r.markers = r.markers[1:]
	m.Tail, m.Behind, m.rows = r.tail, r.markers, r.rows
	return r.onMarker(m)
}

func (r *replay) apply(op logOp) error {
	have := r.rows[op.key]
	switch op.kind {
	case change.Insert:
		if r.shape.HasKey && len(have) > 0 {
			return fmt.Errorf("insert of %s, which is there", op.key)
		}
		r.rows[op.key] = append(have, op.row)
	case change.Update:
		if len(have) != 1 || !r.shape.HasKey {
			return fmt.Errorf("update of %s, which is there %d times", op.key, len(have))
		}
		have[0] = op.row
	case change.Delete:
		switch len(have) {
		case 0:
			return fmt.Errorf("delete of %s, which is not there", op.key)
		case 1:
			delete(r.rows, op.key)
		default:
			r.rows[op.key] = have[:len(have)-1]
		}
	case change.Truncate:
		clear(r.rows)
	case change.Upsert:
		r.rows[op.key] = []string{op.row}
	case change.Discard:
		delete(r.rows, op.key)
	}
	return nil
}

func (r *replay) checkTail() error {
	t := r.Tail
	r.Open = r.last != r.Last
	switch {
	case t.Ended != (r.Ended != ""):
		return fmt.Errorf("tail %q, but the log's end is %q", t, r.Ended)
	case t.Ended:
	case t.Last != r.last, t.Committed != r.Last, t.Rows != int64(r.count) && !r.unknown && t.Rows >= 0, t.CommittedRows != int64(r.committed) && t.CommittedRows >= 0:
		return fmt.Errorf("tail %q, but the log stands at %s, committed %s, with %d and %d rows", t, r.last, r.Last, r.count, r.committed)
	}
	return nil
}

func pick(row change.Row, columns []int) change.Row {
	out := make(change.Row, len(columns))
	for i, c := range columns {
		out[i] = row[c]
	}
	return out
}

// text is an injective text of a row.
func text(row change.Row) string {
	var b strings.Builder
	for _, v := range row {
		if v == nil {
			b.WriteString("NULL,")
		} else {
			b.WriteString(strconv.Quote(string(v)))
			b.WriteByte(',')
		}
	}
	return b.String()
}

// Select returns the rows of the shape's query as Replay gives them. It takes
// the where clause as the user wrote it.
func Select(ctx context.Context, conn *pgx.Conn, shape control.Shape) (map[string]int, error) {
	var columns []string
	for _, c := range shape.Columns {
		columns = append(columns, pg.Ident(c.Name))
	}
	sql := "SELECT " + strings.Join(columns, ", ") + " FROM " + pg.Qualified(shape.Schema, shape.Table)
	if shape.Where != "" {
		sql += " WHERE " + shape.Where
	}
	var params [][]byte
	for _, p := range shape.Params {
		params = append(params, []byte(p))
	}
	rows := map[string]int{}
	rr := conn.PgConn().ExecParams(ctx, sql, params, nil, nil, nil)
	for rr.NextRow() {
		rows[text(rr.Values())]++
	}
	if _, err := rr.Close(); err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	return rows, nil
}

// Diff says in words how two sets of rows differ, showing a few; "" when they
// are equal.
func Diff(log, query map[string]int) string {
	if maps.Equal(log, query) {
		return ""
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(query)) {
		if log[k] < query[k] {
			out = append(out, fmt.Sprintf("missing %d× %s", query[k]-log[k], k))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(log)) {
		if log[k] > query[k] {
			out = append(out, fmt.Sprintf("too many %d× %s", log[k]-query[k], k))
		}
	}
	n := len(out)
	return fmt.Sprintf("%d rows differ: %s", n, strings.Join(out[:min(n, 5)], "; "))
}
