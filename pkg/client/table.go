package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
)

// table is a shape's rows at a commit, and beside them what the transaction
// being read has done so far. Without a primary key it is a multiset. It
// checks that ops are legal: an insert is of an absent key, an update or
// delete of a present one; an upsert or discard is of any.
type table struct {
	layout *event.Layout
	hasKey bool
	rows   map[string]entry
	length int // rows, each as often as it is there

	// The transaction: what it made of keys (count 0: gone). cleared says that
	// it has removed every row that was there before it.
	staged  map[string]entry
	save    *savepoint
	cleared bool
	delta   int // length after the transaction, less length
	scratch []byte
}

type entry struct {
	values change.Row
	count  int // times the row is there; at most 1 with a primary key
}

func newTable(l *event.Layout, hasKey bool) *table {
	return &table{layout: l, hasKey: hasKey, rows: make(map[string]entry), staged: make(map[string]entry)}
}

// begin drops what a transaction without an end has done.
func (t *table) begin() {
	t.staged = make(map[string]entry)
	t.cleared, t.delta, t.save = false, 0, nil
}

// apply stages one change and returns what is wrong with it, if anything.
func (t *table) apply(c Change) error {
	var was entry
	if c.Kind != change.Truncate {
		t.scratch = appendKey(t.scratch[:0], t.layout, c.Row)
		was = t.at(t.scratch)
	}
	switch c.Kind {
	case change.Truncate:
		save := t.save
		if t.begin(); save != nil {
			save.replaced, t.save = true, save
		}
		t.cleared, t.delta = true, -t.length
		return nil
	case change.Insert:
		if t.hasKey && was.count > 0 {
			return errors.New("an insert of a row that is there already")
		}
		if was.count == 0 {
			was.values = event.CloneValues(event.ValuesOf(c.Row))
		}
		was.count++
		t.delta++
	case change.Update:
		if was.count == 0 {
			return errors.New("an update of a row that is not there")
		}
		values := event.CloneValues(event.ValuesOf(c.Row))
		for i, v := range values {
			if change.IsUnchanged(v) {
				values[i] = was.values[i]
			}
		}
		was.values = values
	case change.Delete:
		if was.count == 0 {
			return errors.New("a delete of a row that is not there")
		}
		was.count--
		t.delta--
	case change.Upsert:
		if was.count == 0 {
			was.count = 1
			t.delta++
		}
		was.values = event.CloneValues(event.ValuesOf(c.Row))
	case change.Discard:
		t.delta -= was.count
		was.count = 0
	}
	t.save.note(t.scratch, t.staged)
	t.staged[string(t.scratch)] = was
	return nil
}

// savepoint is what the transaction was at a mark, by what has changed since.
type savepoint struct {
	staged  map[string]entry
	cleared bool
	delta   int

	replaced bool // a truncate has begun another map
	was      map[string]*entry
}

// mark makes rollback come back to here.
func (t *table) mark() {
	if t.save = nil; len(t.staged) == 0 && !t.cleared {
		return // begin does that
	}
	t.save = &savepoint{staged: t.staged, cleared: t.cleared, delta: t.delta, was: make(map[string]*entry)}
}

// note keeps what stands under a key before it is changed.
func (s *savepoint) note(key []byte, staged map[string]entry) {
	if s == nil || s.replaced {
		return
	}
	if _, noted := s.was[string(key)]; noted {
		return
	}
	if e, ok := staged[string(key)]; ok {
		s.was[string(key)] = &e
	} else {
		s.was[string(key)] = nil
	}
}

// rollback takes back what was done since the mark, which there must be.
func (t *table) rollback() {
	s := t.save
	if s == nil {
		t.begin()
		return
	}
	for k, e := range s.was {
		if e == nil {
			delete(s.staged, k)
		} else {
			s.staged[k] = *e
		}
	}
	t.staged, t.cleared, t.delta, t.save = s.staged, s.cleared, s.delta, nil
}

// at returns what stands under a key, the transaction's doings included.
func (t *table) at(key []byte) entry {
	if e, ok := t.staged[string(key)]; ok {
		return e
	}
	if t.cleared {
		return entry{}
	}
	return t.rows[string(key)]
}

// get returns the row under a key.
func (t *table) get(key []any) (Row, error) {
	if len(key) != len(t.layout.Keys) {
		names := make([]string, 0, len(t.layout.Keys))
		for _, i := range t.layout.Keys {
			names = append(names, t.layout.Columns[i].Name)
		}
		return Row{}, fmt.Errorf("%d values for a key of %d columns: %s", len(key), len(names), strings.Join(names, ", "))
	}
	var b []byte
	for i, k := range key {
		text, err := textOf(k)
		if err != nil {
			return Row{}, fmt.Errorf("the value of key column %s: %w", t.layout.Columns[t.layout.Keys[i]].Name, err)
		}
		var v []byte
		if text != nil {
			if v = []byte(*text); t.layout.Columns[t.layout.Keys[i]].Type == boolOID && (*text == "true" || *text == "false") {
				v = v[:1] // as Postgres prints it
			}
		}
		b = appendKeyValue(b, v)
	}
	e, ok := t.rows[string(b)]
	if !ok {
		return Row{}, ErrNoRow
	}
	return event.NewRow(t.layout, e.values, false), nil
}

// load adds rows that are known to be the table's.
func (t *table) load(rows []Row) {
	for _, r := range rows {
		t.scratch = appendKey(t.scratch[:0], t.layout, r)
		e := t.rows[string(t.scratch)]
		t.rows[string(t.scratch)] = entry{values: event.CloneValues(event.ValuesOf(r)), count: e.count + 1}
	}
	t.length += len(rows)
}

// commit makes the transaction's rows the table's. The caller keeps readers
// out meanwhile; the time is in proportion to the transaction's rows.
func (t *table) commit() {
	if t.cleared || len(t.rows) == 0 {
		t.rows = t.staged
		for k, e := range t.rows {
			if e.count == 0 {
				delete(t.rows, k)
			}
		}
	} else {
		for k, e := range t.staged {
			if e.count == 0 {
				delete(t.rows, k)
			} else {
				t.rows[k] = e
			}
		}
	}
	t.length += t.delta
	t.begin()
}

// all returns the table's rows, in no order.
func (t *table) all() []Row {
	rows := make([]Row, 0, t.length)
	for _, e := range t.rows {
		for range e.count {
			rows = append(rows, event.NewRow(t.layout, e.values, false))
		}
	}
	return rows
}

// appendKey appends a row's key in a form that is equal for equal keys only.
func appendKey(b []byte, l *event.Layout, r Row) []byte {
	values := event.ValuesOf(r)
	for n, column := range l.Keys {
		i := column
		if r.IsKey() {
			i = n
		}
		b = appendKeyValue(b, values[i])
	}
	return b
}

// appendKeyValue appends NULL as 0, another value as its length + 1 and itself.
func appendKeyValue(b, v []byte) []byte {
	if v == nil {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(v))+1)
	return append(b, v...)
}
