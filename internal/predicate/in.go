package predicate

import (
	"cmp"
	"slices"
	"strings"

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

// newInNode joins equalities of one column with constants of one kind into a set.
func newInNode(equalities []*compareConstNode, hasNull bool) node {
	n := &inNode{column: equalities[0].column, read: equalities[0].read, hasNull: hasNull}
	// By kind and text: 1.1 is not the same real as it is a double precision.
	seen := make(map[value.Constant]struct{}, len(equalities))
	byText := true
	for _, e := range equalities {
		if _, repeated := seen[e.c]; repeated {
			continue
		}
		seen[e.c] = struct{}{}
		n.items = append(n.items, e.c)
		n.values = append(n.values, e.value)
		byText = byText && e.sameText != nil
		// Whole numbers beside an integer column are read as integers, but one fraction makes all of them numeric.
		n.read.Domain = max(n.read.Domain, e.read.Domain)
	}
	slices.SortFunc(n.items, func(a, b value.Constant) int {
		return cmp.Or(len(a.Text)-len(b.Text), strings.Compare(a.Text, b.Text), int(a.Kind)-int(b.Kind))
	})
	if len(n.items) == 1 && !hasNull {
		return equalities[0]
	}
	if byText {
		n.texts, n.values = make(map[string]struct{}, len(n.items)), nil
		for _, c := range n.items {
			n.texts[c.Text] = struct{}{}
		}
		return n
	}
	if n.read.Domain == value.DomainDecimal {
		for i, item := range n.items {
			n.values[i] = value.Operand{}
			value.ParseDecimal([]byte(item.Text), &n.values[i].Decimal)
		}
	}
	slices.SortFunc(n.values, func(a, b value.Operand) int { return n.read.Domain.Compare(&a, &b) })
	return n
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
