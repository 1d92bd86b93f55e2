package materializer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/internal/clause"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
)

// layout says how the rows of an inner shape's log tell their values.
type layout struct {
	columns  int   // of a row
	key      []int // places of the key columns in a row; a delete has these only
	selected []int // places of the selected columns in a row
	// inKey are the places of the selected columns among the key's, if they are
	// all there: then a delete tells the value that goes.
	inKey []int
	// unit says that the log may hold upserts, discards and aborts.
	unit  bool
	keyer *predicate.Keyer
}

// newLayout makes the layout of a value set from the inner shape's record.
func newLayout(rec *registry.Shape, selected []int, unit bool) (*layout, error) {
	if rec.Table == nil {
		return nil, errors.New("the inner shape's record has no table")
	}
	l := &layout{columns: len(rec.Definition.Columns), selected: selected, unit: unit}
	types, table := make([]predicate.Column, 0, l.columns), clause.TableOf(rec.Table)
	for i, name := range rec.Definition.Columns {
		at := slices.IndexFunc(rec.Table.Relation.Columns, func(c change.Column) bool { return c.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("the inner shape's table has no column %s", name)
		}
		types = append(types, table.Columns[at])
		// Without a primary key the whole row is the key.
		if len(rec.Table.PrimaryKey) == 0 || slices.Contains(rec.Table.PrimaryKey, name) {
			l.key = append(l.key, i)
		}
	}
	columns := make([]predicate.Column, len(selected))
	for i, c := range selected {
		if c < 0 || c >= l.columns {
			return nil, fmt.Errorf("column %d of an inner shape with %d", c, l.columns)
		}
		columns[i] = types[c]
	}
	for _, c := range selected {
		at := slices.Index(l.key, c)
		if at < 0 {
			l.inKey = nil
			break
		}
		l.inKey = append(l.inKey, at)
	}
	var err error
	l.keyer, err = predicate.NewKeyer(columns)
	return l, err
}

// keyed reports whether it must be remembered which row has which value. A
// delete may not tell; and what is idempotent must know whether the row is there.
func (l *layout) keyed() bool { return l.unit || l.inKey == nil }

// value appends the value of a row, or of a key if at is inKey.
func (l *layout) value(b []byte, row change.Row, at []int) []byte {
	var few [4][]byte
	cells := few[:0]
	for _, c := range at {
		cells = append(cells, row[c])
	}
	return l.keyer.Append(b, cells...)
}

// rowKey appends what identifies a row: its key columns as they are written.
func (l *layout) rowKey(b []byte, row change.Row) []byte {
	for _, c := range l.key {
		b = valueset.AppendComponent(b, row[c])
	}
	return b
}

// keyOf is rowKey of a row that has the key columns only.
func keyOf(b []byte, row change.Row) []byte {
	for _, cell := range row {
		b = valueset.AppendComponent(b, cell)
	}
	return b
}
