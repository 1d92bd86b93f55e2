package predicate

import (
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// inNode is column IN (constants): all constants have the same kind, as in Postgres, which converts them to a common
// type. NOT IN is a notNode around it.
type inNode struct {
	column  column
	read    value.Reading
	items   []value.Constant // as written, without repeats and NULLs
	hasNull bool

	// Exactly one of the two is used: texts where equality is equality of bytes, else values, sorted.
	texts  map[string]struct{}
	values []value.Operand
}

func (n *inNode) eval(row [][]byte) truth {
	text := cell(row, n.column.index)
	if text == nil {
		return isUnknown
	}
	var found bool
	if n.texts != nil {
		_, found = n.texts[string(text)]
	} else {
		var v value.Operand
		if !n.read.Read(text, &v) {
			return isUnknown
		}
		found = n.find(&v)
	}
	if !found && n.hasNull {
		return isUnknown
	}
	return truthOf(found)
}

// find is a binary search that passes pointers, since values are large and must stay off the heap.
func (n *inNode) find(v *value.Operand) bool {
	low, high := 0, len(n.values)
	for low < high {
		middle := int(uint(low+high) >> 1)
		switch c := n.read.Domain.Compare(v, &n.values[middle]); {
		case c == 0:
			return true
		case c < 0:
			high = middle
		default:
			low = middle + 1
		}
	}
	return false
}

func (n *inNode) columns(add func(int)) { add(n.column.index) }

// inExprNode is left IN (constants) for a general expression. NOT IN is a notNode around it.
type inExprNode struct {
	left    scalar
	members []scalar // constants, sorted, without repeats and NULLs
	values  []value.Datum
	hasNull bool
	sorted  bool // values are in the order of compare
	compare func(a, b *value.Datum) int
}

func (n *inExprNode) has(d *value.Datum) bool {
	if n.sorted {
		_, found := slices.BinarySearchFunc(n.values, d, func(v value.Datum, d *value.Datum) int { return n.compare(&v, d) })
		return found
	}
	return slices.ContainsFunc(n.values, func(v value.Datum) bool { return n.compare(&v, d) == 0 })
}

func (n *inExprNode) eval(row [][]byte) truth {
	d := n.left.eval(row)
	if d.Null {
		return isUnknown
	}
	if n.has(&d) {
		return isTrue
	}
	if n.hasNull {
		return isUnknown
	}
	return isFalse
}

func (n *inExprNode) columns(add func(int)) { n.left.columns(add) }
