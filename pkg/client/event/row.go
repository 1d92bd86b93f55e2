package event

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
)

// Layout is what all rows of a shape share.
type Layout struct {
	Columns []control.Column
	byName  map[string]int
	Keys    []int          // indexes of the key columns, ascending
	keyPos  map[string]int // name of a key column → its place among them
}

// NewLayout is the layout of a shape of these columns.
func NewLayout(columns []control.Column) *Layout {
	l := &Layout{Columns: columns, byName: make(map[string]int, len(columns)), keyPos: make(map[string]int)}
	for i, c := range columns {
		l.byName[c.Name] = i
		if c.Key {
			l.keyPos[c.Name] = len(l.Keys)
			l.Keys = append(l.Keys, i)
		}
	}
	return l
}

// Row is a row of a shape, or the key of one. Values are in Postgres' text
// output form; NULL is told apart from the empty string. A Row is as valid as
// where it comes from says; Clone makes one that is the caller's.
type Row struct {
	layout *Layout
	values change.Row
	key    bool // key columns only
}

// NewRow is the row of these values, or the key of one.
func NewRow(l *Layout, values change.Row, key bool) Row {
	return Row{layout: l, values: values, key: key}
}

// LayoutOf is what the row shares with all rows of its shape; nil for the zero Row.
func LayoutOf(r Row) *Layout { return r.layout }

// ValuesOf are the row's values in place, as the change log has them.
func ValuesOf(r Row) change.Row { return r.values }

// Len is the number of values.
func (r Row) Len() int { return len(r.values) }

// IsKey reports whether the row holds the key columns only, as a delete's does.
func (r Row) IsKey() bool { return r.key }

// Column returns the column of the i-th value.
func (r Row) Column(i int) control.Column {
	if r.key {
		return r.layout.Columns[r.layout.Keys[i]]
	}
	return r.layout.Columns[i]
}

// Index returns the place of the value of the column called name, or -1 if
// the row does not hold it.
func (r Row) Index(name string) int {
	if r.layout == nil {
		return -1
	}
	m := r.layout.byName
	if r.key {
		m = r.layout.keyPos
	}
	if i, ok := m[name]; ok && i < len(r.values) {
		return i
	}
	return -1
}

// Has reports whether the row holds the column called name, NULL or not.
func (r Row) Has(name string) bool { return r.Index(name) >= 0 }

// Text returns a copy of the value of the column called name; false when it is
// NULL, unchanged, or not in this row.
func (r Row) Text(name string) (string, bool) {
	v := r.Bytes(name)
	return string(v), v != nil
}

// Bytes is Text without the copy, nil where that returns false. The caller
// must not write to it.
func (r Row) Bytes(name string) []byte {
	i := r.Index(name)
	if i < 0 {
		return nil
	}
	return r.At(i)
}

// At returns the i-th value in place, nil for NULL or unchanged.
func (r Row) At(i int) []byte {
	if v := r.values[i]; !change.IsUnchanged(v) {
		return v
	}
	return nil
}

// Unchanged reports whether the i-th value of an update is a large one that
// the update left alone and Postgres did not send. It happens only on tables
// without REPLICA IDENTITY FULL.
func (r Row) Unchanged(i int) bool { return change.IsUnchanged(r.values[i]) }

// Map returns a copy as column name → string, or nil for NULL. Unchanged
// values are left out.
func (r Row) Map() map[string]any {
	m := make(map[string]any, len(r.values))
	for i, v := range r.values {
		switch {
		case v == nil:
			m[r.Column(i).Name] = nil
		case !change.IsUnchanged(v):
			m[r.Column(i).Name] = string(v)
		}
	}
	return m
}

// MarshalJSON writes the row as an object in the order of its columns, every
// value a string or null, unchanged values left out.
func (r Row) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, v := range r.values {
		if change.IsUnchanged(v) {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		if err := appendJSON(&b, r.Column(i).Name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if v == nil {
			b.WriteString("null")
		} else if err := appendJSON(&b, string(v)); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func appendJSON(b *bytes.Buffer, s string) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	return nil
}

// Clone returns a copy that stays valid and is the caller's.
func (r Row) Clone() Row {
	r.values = CloneValues(r.values)
	return r
}

// CloneValues copies a row into one piece of memory of its own.
func CloneValues(from change.Row) change.Row {
	size := 0
	for _, v := range from {
		size += len(v)
	}
	mem := make([]byte, 0, size)
	to := make(change.Row, len(from))
	for i, v := range from {
		switch {
		case v == nil:
		case change.IsUnchanged(v):
			to[i] = v
		default:
			at := len(mem)
			mem = append(mem, v...)
			to[i] = slices.Clip(mem[at:])
		}
	}
	return to
}
