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
	Last     change.Offset // of the last marker
	Open     bool          // the log ends inside a transaction; Rows is as of Last
	Ended    string        // the reason, if the shape ended
	Tail     wire.Tail
}

// replay is a State in the making.
type replay struct {
	State

	shape     control.Shape
	key       []int
	rows      map[string][]string // as of the last marker: key → rows (more than one only without a primary key)
	open      []logOp             // since the last marker
	count     int                 // rows, with the open ops
	committed int                 // rows, without them
	last      change.Offset
	began     bool
	unit      bool
}

// logOp is an op that waits for its transaction's marker.
type logOp struct {
	at       change.Offset
	kind     change.Kind
	key, row string
}

// Replay reads the whole log of a shape.
func Replay(ctx context.Context, js jetstream.JetStream, source topology.Source, shape control.Shape) (*State, error) {
	r := &replay{shape: shape, rows: map[string][]string{}}
	for i, c := range shape.Columns {
		if c.Key {
			r.key = append(r.key, i)
		}
	}
	var d wire.LogDecoder
	err := messages(ctx, js, source.ShapeStream(shape.Partition), source.LogSubject(shape.Partition, shape.Handle), func(header string, data []byte) error {
		tail, err := wire.ParseTail(header)
		if err != nil {
			return err
		}
		r.Messages++
		err = d.Decode(data, func(e *wire.Entry) error { return r.entry(ctx, js, source, e) })
		if err != nil {
			return fmt.Errorf("message %d: %w", r.Messages, err)
		}
		r.Tail = tail
		return r.checkTail()
	})
	if err != nil {
		return nil, fmt.Errorf("log of shape %s: %w", shape.Handle, err)
	}
	r.Rows = map[string]int{}
	for _, rows := range r.rows {
		for _, row := range rows {
			r.Rows[row]++
		}
	}
	return &r.State, nil
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

func (r *replay) entry(ctx context.Context, js jetstream.JetStream, source topology.Source, e *wire.Entry) error {
	if r.Ended != "" {
		return errors.New("an entry after the one that ended the shape")
	}
	switch e.Kind {
	case wire.EntryEnd:
		r.Ended = e.Reason
	case wire.EntrySegment:
		if r.began {
			return errors.New("a second snapshot")
		}
		r.began = true
		var n, rows uint64
		subject := source.SegmentSubject(r.shape.Partition, r.shape.Handle, e.Segment)
		err := messages(ctx, js, source.ShapeStream(r.shape.Partition), subject, func(_ string, data []byte) error {
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
		return r.mark()
	case wire.EntryVoid:
		r.open = r.open[:0]
		r.last, r.count, r.unit = r.Last, r.committed, false
	case wire.EntryOps, wire.EntryUnit:
		if !r.began {
			return errors.New("ops before the snapshot")
		}
		return r.ops(e)
	}
	return nil
}

func (r *replay) ops(e *wire.Entry) error {
	if r.last != r.Last && r.last.LSN != e.LSN && !r.unit {
		return fmt.Errorf("transaction %d begins inside transaction %d", e.LSN, r.last.LSN)
	}
	r.unit = e.Kind == wire.EntryUnit
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
		return r.mark()
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
		if r.count >= 0 {
			r.count++
		}
	case change.Delete:
		if r.count >= 0 {
			r.count--
		}
	case change.Upsert, change.Discard:
		r.count = -1
	case change.Update, change.Truncate:
	}
	r.open = append(r.open, op)
	return nil
}

// mark applies the open transaction.
func (r *replay) mark() error {
	for _, op := range r.open {
		if err := r.apply(op); err != nil {
			return fmt.Errorf("op %s: %w", op.at, err)
		}
	}
	r.open = r.open[:0]
	r.Markers++
	r.Last = r.last
	r.committed = r.count
	return nil
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
	case t.Last != r.last, t.Committed != r.Last, t.Rows != int64(r.count), t.CommittedRows != int64(r.committed):
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
