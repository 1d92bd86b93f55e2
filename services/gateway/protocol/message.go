package protocol

import (
	"strconv"
	"unicode/utf8"

	"github.com/shapebus/shapebus/pkg/change"
)

// Encoder writes the messages of one shape. It is what all messages of one shape share.
type Encoder struct {
	relation string   // ["public","items"]
	prefix   string   // of keys, inside of a JSON text
	names    []string // of columns, as JSON with a colon
	keys     []int    // indexes of the key's columns, in the key's order
	inKey    []int    // for each of these its place in a row that has the key's columns only
	isKey    []int    // indexes of the key's columns, in the columns' order
}

// NewEncoder returns the encoder of a shape's messages. columns are the shape's, key the names of the key's columns in the key's
// order; without a key every column is one.
func NewEncoder(schema, table string, columns, key []string) *Encoder {
	e := &Encoder{
		relation: string(appendText(append(appendText([]byte{'['}, []byte(schema)), ','), []byte(table))) + "]",
		prefix:   escape(`"` + keyName(schema) + `"."` + keyName(table) + `"`),
	}
	place := make(map[string]int, len(columns))
	for i, c := range columns {
		place[c] = i
		e.names = append(e.names, string(appendText(nil, []byte(c)))+":")
	}
	if len(key) == 0 {
		key = columns
	}
	member := make(map[int]int, len(key)) // column → its place among the key's columns, in the columns' order
	for _, k := range key {
		member[place[k]] = 0
	}
	for i := range columns {
		if _, ok := member[i]; ok {
			member[i] = len(e.isKey)
			e.isKey = append(e.isKey, i)
		}
	}
	for _, k := range key {
		e.keys = append(e.keys, place[k])
		e.inKey = append(e.inKey, member[place[k]])
	}
	return e
}

// Row is a row as the log has it.
type Row interface {
	Len() int
	At(i int) []byte
	Unchanged(i int) bool
	IsKey() bool
}

// Place is where a change of the log stands.
type Place struct {
	Offset change.Offset
	XID    change.XID
	Trace  string // context of its transaction's trace; "" for none
}

// Snapshot appends a row of the snapshot.
func (e *Encoder) Snapshot(b []byte, row Row) []byte {
	b = e.open(b, "insert", row)
	return append(b, "}}"...)
}

// SubsetRow appends a row of a subset.
func (e *Encoder) SubsetRow(b []byte, row Row, mark int32) []byte {
	b = e.open(b, "insert", row)
	b = append(b, `,"snapshot_mark":`...)
	b = strconv.AppendInt(b, int64(mark), 10)
	return append(b, "}}"...)
}

// Change appends a change of the log, without its end: Finish adds that.
func (e *Encoder) Change(b []byte, operation string, row Row, at Place) []byte {
	b = e.open(b, operation, row)
	b = append(b, `,"txids":[`...)
	b = strconv.AppendUint(b, uint64(at.XID), 10)
	b = append(b, `],"lsn":"`...)
	b = strconv.AppendUint(b, uint64(at.Offset.LSN), 10)
	b = append(b, `","op_position":`...)
	b = strconv.AppendUint(b, at.Offset.Op, 10)
	if at.Trace != "" {
		b = append(b, `,"traceparent":`...)
		b = appendText(b, []byte(at.Trace))
	}
	return b
}

// Finish ends a change. last says that it is the last one of its LSN.
func Finish(b []byte, last bool) []byte {
	if last {
		b = append(b, `,"last":true`...)
	}
	return append(b, "}}"...)
}

func (e *Encoder) open(b []byte, operation string, row Row) []byte {
	b = append(b, `{"key":"`...)
	b = append(b, e.prefix...)
	places, columns := e.keys, []int(nil)
	if row.IsKey() {
		places, columns = e.inKey, e.isKey
	}
	for _, i := range places {
		v := row.At(i)
		if v == nil {
			b = append(b, "/_"...)
			continue
		}
		b = append(b, `/\"`...)
		b = appendKey(b, v)
		b = append(b, `\"`...)
	}
	b = append(b, `","value":{`...)
	first := true
	for i := range row.Len() {
		if row.Unchanged(i) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		column := i
		if columns != nil {
			column = columns[i]
		}
		b = append(b, e.names[column]...)
		if v := row.At(i); v != nil {
			b = appendText(b, v)
		} else {
			b = append(b, "null"...)
		}
	}
	b = append(b, `},"headers":{"operation":"`...)
	b = append(b, operation...)
	b = append(b, `","relation":`...)
	return append(b, e.relation...)
}

// UpToDate appends the message that says that nothing is missing up to an LSN. xids are of transactions that
// the client may wait for and that no change before it names.
func UpToDate(b []byte, lsn change.LSN, xids []change.XID) []byte {
	b = append(b, `{"headers":{"control":"up-to-date","global_last_seen_lsn":"`...)
	b = strconv.AppendUint(b, uint64(lsn), 10)
	b = append(b, '"')
	for i, x := range xids {
		if i == 0 {
			b = append(b, `,"txids":[`...)
		} else {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(x), 10)
	}
	if len(xids) > 0 {
		b = append(b, ']')
	}
	return append(b, "}}"...)
}

// SnapshotEnd appends the message that ends the snapshot's rows and says what they saw.
func SnapshotEnd(b []byte, s change.Snapshot) []byte {
	b = append(b, `{"headers":{"control":"snapshot-end",`...)
	b = appendVisibility(b, s)
	return append(b, "}}"...)
}

// SubsetHead appends what a subset's rows saw.
func SubsetHead(b []byte, s change.Snapshot, mark int32) []byte {
	b = append(b, `{"metadata":{`...)
	b = appendVisibility(b, s)
	b = append(b, `,"database_lsn":"`...)
	b = strconv.AppendUint(b, uint64(s.LSN), 10)
	b = append(b, `","snapshot_mark":`...)
	b = strconv.AppendInt(b, int64(mark), 10)
	return append(b, `},"data":[`...)
}

func appendVisibility(b []byte, s change.Snapshot) []byte {
	b = append(b, `"xmin":"`...)
	b = strconv.AppendUint(b, uint64(s.Xmin), 10)
	b = append(b, `","xmax":"`...)
	b = strconv.AppendUint(b, uint64(s.Xmax), 10)
	b = append(b, `","xip_list":[`...)
	for i, x := range s.Xip {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = strconv.AppendUint(b, uint64(x), 10)
		b = append(b, '"')
	}
	return append(b, ']')
}

// keyName is a name inside of a key: what separates there is doubled.
func keyName(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		b = append(b, s[i])
		if s[i] == '"' || s[i] == '/' || s[i] == '.' {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// appendKey appends a value of a key, inside of a JSON text: slashes are doubled.
func appendKey(b, v []byte) []byte {
	from := 0
	for i, c := range v {
		if c == '/' {
			b = appendEscaped(b, v[from:i+1])
			from = i
		}
	}
	return appendEscaped(b, v[from:])
}

func escape(s string) string { return string(appendEscaped(nil, []byte(s))) }

// appendText appends a JSON text.
func appendText(b, v []byte) []byte {
	b = append(b, '"')
	b = appendEscaped(b, v)
	return append(b, '"')
}

const hex = "0123456789abcdef"

// appendEscaped appends what stands inside of a JSON text. What is not UTF-8 becomes the replacement character.
func appendEscaped(b, v []byte) []byte {
	from := 0
	for i := 0; i < len(v); {
		c := v[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, v[from:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRune(v[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, v[from:i]...)
			b = append(b, `\ufffd`...)
			i++
			from = i
			continue
		}
		i += size
	}
	return append(b, v[from:]...)
}
