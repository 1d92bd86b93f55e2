// Package logcheck judges a shape's log as it is stored: it replays it from
// its first message and says whether the log is lawful (offsets strictly
// increase among the entries that count, no op touches a row that cannot be
// there, every transaction and unit ends in a marker or is aborted, headers tell
// the truth) and whether its rows are those of the
// shape's SELECT. It shares no code with the consumer or the client beyond the
// wire forms and direct gets, so that it can judge both.
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

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// State is what a log amounts to.
type State struct {
	Rows     map[string]int // row as text → how often it is there
	Messages int
	Ops      int
	Markers  int
	Units    int           // among the markers
	Aborts   int           // stretches that were taken back
	Last     change.Offset // of the last marker
	Open     bool          // the log ends inside a transaction; Rows is as of Last
	Ended    string        // the reason, if the shape ended
	Tail     wire.Tail

	Generation *wire.Generation // the newest; nil if the log was never folded
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
	unsure    bool                // the open ops may do nothing, so that count is not known
	uncertain bool                // there have been such ops, so that a writer need not know how many rows there are
	last      change.Offset
	in        transaction // of the open ops
	began     bool

	// Of a log that was read before; nil otherwise.
	segment func(n uint64, f func(tail string, data []byte) error) error
	watch   *watch

	atMarker func(*replay) error // called at each marker; may be nil
}

// transaction is what ends with a marker.
type transaction struct {
	unit bool
	lsn  change.LSN // 0 in a unit
	xid  change.XID
}

func transactionOf(e *wire.Entry) transaction {
	if e.Kind == wire.EntryUnit {
		return transaction{unit: true}
	}
	return transaction{lsn: e.LSN, xid: e.XID}
}

// logOp is an op that waits for its transaction's marker.
type logOp struct {
	at       change.Offset
	kind     change.Kind
	key, row string
}

func newReplay(shape control.Shape) *replay {
	r := &replay{shape: shape, rows: map[string][]string{}}
	for i, c := range shape.Columns {
		if c.Key {
			r.key = append(r.key, i)
		}
	}
	return r
}

// Replay reads the whole log of a shape, or what of it was folded.
func Replay(ctx context.Context, js jetstream.JetStream, source topology.Source, shape control.Shape) (*State, error) {
	for try := 1; ; try++ {
		g, err := Generation(ctx, js, source, shape)
		if err != nil {
			return nil, fmt.Errorf("generation of shape %s: %w", shape.Handle, err)
		}
		var s *State
		if g != nil {
			s, err = folded(ctx, js, source, shape, g)
		} else {
			r := newReplay(shape)
			if err = r.read(ctx, js, source); err == nil {
				r.Rows, s = counted(r.rows), &r.State
			}
		}
		now, cannot := Generation(ctx, js, source, shape)
		switch {
		case err == nil && cannot == nil && sameGeneration(now, g): // what was read was there all the time
			return s, nil
		case err == nil && try == readTries:
			err = errors.New("it is folded again and again, and what is read is removed meanwhile")
		}
		if cannot != nil || try == readTries || err != nil && sameGeneration(now, g) && g == nil {
			return nil, fmt.Errorf("log of shape %s: %w", shape.Handle, errors.Join(err, cannot))
		}
	}
}

// readTries is how often a log is read that is being folded.
const readTries = 10

func sameGeneration(a, b *wire.Generation) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Number == b.Number)
}

// read replays the log from its first message.
func (r *replay) read(ctx context.Context, js jetstream.JetStream, source topology.Source) error {
	var d wire.LogDecoder
	shape := r.shape
	return messages(ctx, js, source.ShapeStream(shape.Partition), source.LogSubject(shape.Partition, shape.Handle), func(header string, data []byte) error {
		tail, err := wire.ParseTail(header)
		if err != nil {
			return err
		}
		return r.message(&d, tail, data, func(e *wire.Entry) error { return r.entry(ctx, js, source, e) })
	})
}

func counted(byKey map[string][]string) map[string]int {
	out := make(map[string]int, len(byKey))
	for _, rows := range byKey {
		for _, row := range rows {
			out[row]++
		}
	}
	return out
}

// message takes the log's next message.
func (r *replay) message(d *wire.LogDecoder, tail wire.Tail, data []byte, entry func(*wire.Entry) error) error {
	r.Messages++
	if err := d.Decode(data, entry); err != nil {
		return fmt.Errorf("message %d: %w", r.Messages, err)
	}
	r.Tail = tail
	return r.checkTail()
}

// messages calls f with each whole message under a subject. A lost answer is asked for again until ctx ends.
func messages(ctx context.Context, js jetstream.JetStream, streamName, subject string, f func(tail string, data []byte) error) error {
	var parts stream.Assembler
	for next := uint64(1); ; {
		batch, err := stream.GetBatch(ctx, js, streamName, subject, next, nil)
		switch {
		case errors.Is(err, stream.ErrNoAnswer) && ctx.Err() == nil:
			continue
		case err != nil:
			nc := js.Conn()
			return fmt.Errorf("%w (the connection is %s, and was made again %d times)", err, nc.Status(), nc.Stats().Reconnects)
		case len(batch) == 0:
			return nil
		}
		for _, m := range batch {
			next = m.Sequence + 1
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
		r.began, r.in = true, transaction{}
		var n, rows uint64
		subject := source.SegmentSubject(r.shape.Partition, r.shape.Handle, e.Segment)
		take := func(_ string, data []byte) error {
			n++
			return wire.DecodeSegment(data, func(row change.Row) error {
				rows++
				return r.gather(change.Insert, row)
			})
		}
		var err error
		if r.segment != nil {
			err = r.segment(e.Segment, take)
		} else {
			err = messages(ctx, js, source.ShapeStream(r.shape.Partition), subject, take)
		}
		if err != nil {
			return fmt.Errorf("segment %d: %w", e.Segment, err)
		}
		if n == 0 && e.Messages > 0 && r.atMarker != nil {
			return errPurged // the log was folded right behind it
		}
		if n != e.Messages || rows != e.Rows {
			return fmt.Errorf("segment %d has %d rows in %d messages, but the log says %d in %d", e.Segment, rows, n, e.Rows, e.Messages)
		}
		return r.mark()
	case wire.EntryOps, wire.EntryUnit:
		if !r.began {
			return errPurged
		}
		return r.ops(e)
	case wire.EntryAbort:
		if !r.began {
			return errors.New("an abort entry before the snapshot")
		}
		r.Aborts++
		r.open, r.last, r.count, r.unsure = r.open[:0], r.Last, r.committed, false
	}
	return nil
}

func (r *replay) ops(e *wire.Entry) error {
	in := transactionOf(e)
	if r.last != r.Last && r.in != in {
		return fmt.Errorf("%+v begins inside %+v", in, r.in)
	}
	r.in = in
	for _, op := range e.Ops {
		if err := r.advance(change.Offset{LSN: e.LSN, Op: op.Index}); err != nil {
			return err
		}
		r.Ops++
		if e.Kind == wire.EntryOps && (op.Kind == change.Upsert || op.Kind == change.Discard) {
			return fmt.Errorf("op %d_%d: %s outside of a unit", e.LSN, op.Index, op.Kind)
		}
		if err := r.gather(op.Kind, op.Row); err != nil {
			return fmt.Errorf("op %d_%d: %w", e.LSN, op.Index, err)
		}
	}
	if e.Last {
		if err := r.advance(change.Offset{LSN: e.LSN, Op: e.End}); err != nil {
			return err
		}
		if in.unit {
			r.Units++
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
	case change.Insert, change.Update, change.Upsert, change.Delete, change.Discard, change.Truncate:
	default:
		return fmt.Errorf("an op of %s", kind)
	}
	switch kind {
	case change.Delete, change.Discard:
		want = len(r.key)
	case change.Truncate:
		want = 0
	case change.Insert, change.Update, change.Upsert:
	}
	if len(row) != want {
		return fmt.Errorf("%s with %d columns, want %d", kind, len(row), want)
	}
	switch kind {
	case change.Insert, change.Update, change.Upsert:
		op.row = text(row)
		op.key = text(pick(row, r.key))
	case change.Delete, change.Discard:
		op.key = text(row)
	case change.Truncate:
	}
	switch kind {
	case change.Insert:
		r.count++
	case change.Delete:
		r.count--
	case change.Upsert, change.Discard:
		r.unsure, r.uncertain = true, true
	case change.Truncate:
		r.count, r.unsure = 0, false
	case change.Update:
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
	if r.unsure {
		r.count, r.unsure = 0, false
		for _, rows := range r.rows {
			r.count += len(rows)
		}
	}
	r.committed = r.count
	if r.atMarker != nil {
		if err := r.atMarker(r); err != nil {
			return err
		}
	}
	return r.watch.mark(r)
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
		r.rows[op.key] = slices.Repeat([]string{op.row}, max(len(have), 1))
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
	case t.Last != r.last, t.Committed != r.Last, !r.unsure && !r.counts(t.Rows, r.count), !r.counts(t.CommittedRows, r.committed):
		return fmt.Errorf("tail %q, but the log stands at %s, committed %s, with %d and %d rows", t, r.last, r.Last, r.count, r.committed)
	}
	deferred, err := wire.ParseDeferred(t.Deferred)
	if err != nil {
		return err
	}
	for i, lsn := range deferred {
		if lsn >= t.Committed.LSN || i > 0 && lsn <= deferred[i-1] {
			return fmt.Errorf("tail %q: the deferred transactions are not ascending, or not before its commit", t)
		}
	}
	return nil
}

// counts reports whether a tail may say that there are so many rows.
func (r *replay) counts(said int64, rows int) bool {
	return said == int64(rows) || said == -1 && r.uncertain
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
		var value []byte // NULL
		if p != nil {
			value = []byte(*p)
		}
		params = append(params, value)
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
