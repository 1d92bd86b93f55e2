package reconcile

import (
	"bytes"

	"github.com/shapebus/shapebus/pkg/change"
)

// Outcome is what becomes of an op in the log of a shape.
type Outcome uint8

// The outcomes.
const (
	Nothing Outcome = iota
	Insert          // the new row comes
	Update          // it takes the old one's place
	Delete          // the old row goes
	Replace         // the old row goes and the new one, which has another key, comes
)

// Decide is the rule for one op of a shape that is exact: was says whether the old row is in it, is
// whether the new one belongs there. key are the columns that identify a row, columns all that the
// shape has.
func Decide(op *change.Op, was, is bool, key, columns []int) Outcome {
	switch {
	case was && is:
		switch {
		case !Same(op.Old, op.New, key): // another row to readers
			return Replace
		case !Same(op.Old, op.New, columns):
			return Update
		}
	case was:
		return Delete
	case is:
		return Insert
	}
	return Nothing
}

// Same reports whether two rows have the same values in some columns.
func Same(a, b change.Row, columns []int) bool {
	for _, c := range columns {
		if (a[c] == nil) != (b[c] == nil) || !bytes.Equal(a[c], b[c]) {
			return false
		}
	}
	return true
}
