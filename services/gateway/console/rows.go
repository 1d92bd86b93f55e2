package console

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/shapebus/shapebus/pkg/client"
)

// Bounds of the rows that a page shows.
const (
	maxRows  = 1000
	maxStage = 4 * maxRows // keys that one transaction touches
	maxValue = 300         // bytes of a value
	maxKept  = 8 << 20     // bytes of all rows
	maxSent  = 1 << 20     // about, of rows that are told at once
)

// Value is a row's value on its way to a page: text, null, or the beginning of a text.
type Value struct {
	Text  *string
	Bytes int // of the whole text, if it is cut
}

type cutValue struct {
	Cut   string `json:"cut"`
	Bytes int    `json:"bytes"`
}

// MarshalJSON writes a text, null, or an object for what is cut.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.Bytes > 0 {
		return json.Marshal(cutValue{*v.Text, v.Bytes})
	}
	return json.Marshal(v.Text)
}

// valuesOf are a row's values in the order of its columns, or of the key's.
func valuesOf(row client.Row) []Value {
	out := make([]Value, row.Len())
	for i := range out {
		switch v := row.At(i); {
		case row.Unchanged(i):
			out[i] = Value{Text: new("(unchanged)")}
		case v == nil:
		case len(v) > maxValue:
			out[i] = Value{Text: new(strings.ToValidUTF8(string(v[:maxValue]), "")), Bytes: len(v)}
		default:
			out[i] = Value{Text: new(string(v))}
		}
	}
	return out
}

// keyOf names a row among those of its shape.
func keyOf(row client.Row) string {
	var parts []string
	for i := range row.Len() {
		if row.Column(i).Key {
			parts = append(parts, string(row.At(i)))
		}
	}
	key, _ := json.Marshal(parts) // texts can always be written
	return string(key)
}

// errManyRows says that a shape, or a transaction on it, has more rows than a page shows.
var errManyRows = errors.New("more rows than a page shows")

// rows are those of a small shape at a commit, and what an open transaction makes of them.
type rows struct {
	rows  map[string][]Value
	dirty map[string]bool // keys that changed since take
	fresh bool            // take gives all rows next
	ready bool            // there was a commit
	bytes int

	staged  map[string][]Value // nil for a row that goes
	cleared bool
	size    int // of staged
}

func newRows() *rows {
	return &rows{rows: map[string][]Value{}, dirty: map[string]bool{}, fresh: true, staged: map[string][]Value{}}
}

// apply stages a change.
func (t *rows) apply(c client.Change) error {
	switch c.Kind {
	case client.Truncate:
		t.abort()
		t.cleared = true
		return nil
	case client.Insert, client.Update, client.Upsert:
		key, v := keyOf(c.Row), valuesOf(c.Row)
		t.staged[key] = v
		t.size += sizeOf(key, v)
	case client.Delete, client.Discard:
		key := keyOf(c.Row)
		t.staged[key] = nil
		t.size += sizeOf(key, nil)
	}
	if len(t.staged) > maxStage || t.size > maxKept {
		return errManyRows
	}
	return nil
}

// sizeOf is about what a row takes in memory.
func sizeOf(key string, values []Value) int {
	n := len(key) + 64
	for _, v := range values {
		if v.Text != nil {
			n += len(*v.Text) + 16
		}
		n += 16
	}
	return n
}

// abort forgets what is staged.
func (t *rows) abort() { t.staged, t.cleared, t.size = map[string][]Value{}, false, 0 }

// commit makes what is staged the rows.
func (t *rows) commit() error {
	if t.cleared {
		t.rows, t.dirty, t.bytes, t.fresh = map[string][]Value{}, map[string]bool{}, 0, true
	}
	for key, v := range t.staged {
		if was, ok := t.rows[key]; ok {
			t.bytes -= sizeOf(key, was)
		}
		if v == nil {
			delete(t.rows, key)
		} else {
			t.rows[key] = v
			t.bytes += sizeOf(key, v)
		}
		t.dirty[key] = true
	}
	t.abort()
	t.ready = true
	if len(t.rows) > maxRows || t.bytes > maxKept {
		return errManyRows
	}
	return nil
}

// RowNews are rows that changed.
type RowNews struct {
	All   bool               `json:"all,omitempty"`  // what was told before counts no more
	More  bool               `json:"more,omitempty"` // more is told at once: only then all are of one commit
	Set   map[string][]Value `json:"set,omitempty"`
	Gone  []string           `json:"gone,omitempty"`
	Total int                `json:"total"`
}

// take returns what changed since it was called last, as much as is told at once; nil for nothing.
func (t *rows) take() *RowNews {
	if !t.ready || !t.fresh && len(t.dirty) == 0 {
		return nil
	}
	out := &RowNews{All: t.fresh, Total: len(t.rows), Set: map[string][]Value{}}
	if t.fresh {
		t.fresh = false
		for key := range t.rows {
			t.dirty[key] = true
		}
	}
	size := 0
	for key := range t.dirty {
		if size >= maxSent {
			out.More = true
			break
		}
		delete(t.dirty, key)
		v, ok := t.rows[key]
		if size += sizeOf(key, v); ok {
			out.Set[key] = v
		} else if !out.All {
			out.Gone = append(out.Gone, key)
		}
	}
	return out
}
