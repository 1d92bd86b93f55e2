package wire

import "github.com/shapebus/shapebus/pkg/change"

// Verdict says what one commit marker of an inner shape's log changed in a
// value set: [version, offset LSN, offset op, xid, unit, [[key, delta] …]].
type Verdict struct {
	Offset change.Offset // of the commit marker in the inner shape's log
	XID    change.XID    // of the transaction; of the last one of a unit
	// Unit says that the marker is that of a unit: it covers several
	// transactions, all of which every later snapshot sees.
	Unit   bool
	Deltas Deltas // by key, netted; none when nothing changed in the end
}

const verdictFields = 5

// headMost is the most that stands before the deltas in a body.
const headMost = 48

// EncodeVerdict returns the message's body.
func EncodeVerdict(v *Verdict) []byte {
	w := writer{b: make([]byte, 0, headMost+v.Deltas.Bytes())}
	w.uint(Version)
	w.array(verdictFields)
	w.uint(uint64(v.Offset.LSN))
	w.uint(v.Offset.Op)
	w.uint(uint64(v.XID))
	w.bool(v.Unit)
	w.deltas(v.Deltas)
	return w.b
}

// DecodeVerdict reads a body that EncodeVerdict wrote. The deltas are part of data, which must not change any more.
func DecodeVerdict(data []byte) (*Verdict, error) {
	r := &reader{b: data}
	r.version()
	r.tuple(verdictFields, "verdict")
	v := &Verdict{}
	v.Offset = change.Offset{LSN: change.LSN(r.uint()), Op: r.uint()}
	v.XID, v.Unit = change.XID(r.uint()), r.bool()
	v.Deltas = r.deltas()
	if r.err == nil && r.more() {
		return nil, corrupt("verdict: %d bytes behind its end", len(r.b))
	}
	return v, r.err
}

// EncodeBaseValues returns the body of one message of a value set's base: some
// of its values with their counts: [version, [[key, count] …]].
func EncodeBaseValues(values Deltas) []byte {
	w := writer{b: make([]byte, 0, headMost+values.Bytes())}
	w.uint(Version)
	w.deltas(values)
	return w.b
}

// DecodeBaseValues reads a body that EncodeBaseValues wrote. The values are part of data, which must not change any more.
func DecodeBaseValues(data []byte) (Deltas, error) {
	r := &reader{b: data}
	r.version()
	values := r.deltas()
	if r.err == nil && r.more() {
		return Deltas{}, corrupt("base: %d bytes behind its end", len(r.b))
	}
	return values, r.err
}

// BaseRow says which value a row of the inner shape has. Row is the key of the row:
// the text of its key columns, one component each, as package valueset encodes it.
type BaseRow struct{ Row, Value string }

const baseRowFields = 2

// EncodeBaseRows returns the body of one message of rows of a base:
// [version, [[row, value] …]].
func EncodeBaseRows(rows []BaseRow) []byte {
	var w writer
	w.uint(Version)
	w.array(len(rows))
	for _, r := range rows {
		w.array(baseRowFields)
		w.str(r.Row)
		w.str(r.Value)
	}
	return w.b
}

// DecodeBaseRows calls f with each row of a body that EncodeBaseRows wrote. The
// bytes are part of data.
func DecodeBaseRows(data []byte, f func(row, value []byte)) error {
	r := &reader{b: data}
	r.version()
	for range r.arrayOf(1 + baseRowFields) {
		r.tuple(baseRowFields, "row of a base")
		row, value := r.bytes(), r.bytes()
		if r.err != nil {
			return r.err
		}
		f(row, value)
	}
	if r.err == nil && r.more() {
		return corrupt("rows of a base: %d bytes behind their end", len(r.b))
	}
	return r.err
}

// Base announces a value set's whole content at an offset of the inner shape's
// log, stored as a map. It stands behind the messages it speaks of.
type Base struct {
	Number   uint64 `msgpack:"number"` // its messages' subject; see topology.Source.BaseSubject
	Messages uint64 `msgpack:"messages"`
	Values   uint64 `msgpack:"values"`
	// LSN and Op are the commit marker up to which the log is in it; 0 and 0
	// for the log's snapshot.
	LSN uint64 `msgpack:"lsn"`
	Op  uint64 `msgpack:"op"`
	// Rows and RowMessages count what the base holds for its writer alone: the
	// rows of the inner shape, each with its value. None if the writer does not need
	// them; see EncodeBaseRows.
	Rows        uint64 `msgpack:"rows,omitempty"`
	RowMessages uint64 `msgpack:"row_messages,omitempty"`
	At          int64  `msgpack:"at"` // microseconds since 1970-01-01 UTC
}

// Offset is the commit marker up to which the inner shape's log is in the base.
func (b Base) Offset() change.Offset { return change.Offset{LSN: change.LSN(b.LSN), Op: b.Op} }

// EncodeBase returns the message's body.
func EncodeBase(b Base) ([]byte, error) { return encodeMap("base", b) }

// DecodeBase reads a body that EncodeBase wrote.
func DecodeBase(data []byte) (Base, error) {
	var b Base
	return b, decodeMap("base", data, &b)
}
