package predicate

import (
	"cmp"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// truth is the outcome of a three-valued test.
type truth int8

const (
	isFalse truth = iota
	isUnknown
	isTrue
)

func truthOf(b bool) truth {
	if b {
		return isTrue
	}
	return isFalse
}

// node is a boolean expression. Nodes are immutable and safe for concurrent use; eval must not keep the row.
type node interface {
	eval(row [][]byte) truth
	print(p *printer)
	columns(add func(column int))
}

// cell returns a column's text; a row that is too short reads as NULL.
func cell(row [][]byte, column int) []byte {
	if column < len(row) {
		return row[column]
	}
	return nil
}

type (
	// andNode and orNode have at least two arguments, none of them of the same type as the node itself.
	andNode struct{ args []node }
	orNode  struct{ args []node }
	notNode struct{ arg node }

	// literalNode is TRUE, FALSE or NULL.
	literalNode struct{ value truth }

	// boolColumnNode is a bare boolean column.
	boolColumnNode struct{ column column }

	// isNode is arg IS [NOT] TRUE, FALSE or UNKNOWN. (IS NULL of a boolean is IS UNKNOWN.)
	isNode struct {
		arg  node
		want truth
		not  bool
	}

	// nullNode is column IS [NOT] NULL.
	nullNode struct {
		column column
		not    bool
	}

	// boolCompareNode compares two boolean expressions.
	boolCompareNode struct {
		op          operator
		left, right node
	}
)

// column is a reference, resolved.
type column struct {
	index            int
	name             string
	k                value.Kind
	nonDeterministic bool
}

func (n *andNode) eval(row [][]byte) truth {
	out := isTrue
	for _, a := range n.args {
		if t := a.eval(row); t < out {
			if t == isFalse {
				return isFalse
			}
			out = t
		}
	}
	return out
}

func (n *orNode) eval(row [][]byte) truth {
	out := isFalse
	for _, a := range n.args {
		if t := a.eval(row); t > out {
			if t == isTrue {
				return isTrue
			}
			out = t
		}
	}
	return out
}

func (n *notNode) eval(row [][]byte) truth     { return isTrue - n.arg.eval(row) }
func (n *literalNode) eval(row [][]byte) truth { return n.value }

func (n *boolColumnNode) eval(row [][]byte) truth {
	v := cell(row, n.column.index)
	if v == nil {
		return isUnknown
	}
	return truthOf(len(v) == 1 && v[0] == 't')
}

func (n *isNode) eval(row [][]byte) truth {
	return truthOf((n.arg.eval(row) == n.want) != n.not)
}

func (n *nullNode) eval(row [][]byte) truth {
	return truthOf((cell(row, n.column.index) == nil) != n.not)
}

func (n *boolCompareNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	if l == isUnknown || r == isUnknown {
		return isUnknown
	}
	return truthOf(n.op.holds(int(l) - int(r)))
}

func (n *andNode) columns(add func(int)) {
	for _, a := range n.args {
		a.columns(add)
	}
}

func (n *orNode) columns(add func(int)) {
	for _, a := range n.args {
		a.columns(add)
	}
}

func (n *notNode) columns(add func(int))        { n.arg.columns(add) }
func (n *literalNode) columns(add func(int))    {}
func (n *boolColumnNode) columns(add func(int)) { add(n.column.index) }
func (n *isNode) columns(add func(int))         { n.arg.columns(add) }
func (n *nullNode) columns(add func(int))       { add(n.column.index) }

func (n *boolCompareNode) columns(add func(int)) {
	n.left.columns(add)
	n.right.columns(add)
}

// conjunction and disjunction join nodes, flatten nested ones of their own type, and bring the operands into one order
// without repeats, so that clauses that differ in nothing else are one shape.
func (b *builder) conjunction(args ...node) node {
	var flat []node
	for _, a := range args {
		if and, ok := a.(*andNode); ok {
			flat = append(flat, and.args...)
		} else {
			flat = append(flat, a)
		}
	}
	if flat = b.inOrder(flat); len(flat) == 1 {
		return flat[0]
	}
	return &andNode{flat}
}

func (b *builder) disjunction(args ...node) node {
	var flat []node
	for _, a := range args {
		if or, ok := a.(*orNode); ok {
			flat = append(flat, or.args...)
		} else {
			flat = append(flat, a)
		}
	}
	if flat = b.inOrder(flat); len(flat) == 1 {
		return flat[0]
	}
	return &orNode{flat}
}

// cost ranks conditions: the specialised nodes first, then patterns, then general expressions.
func cost(n node) int {
	switch n := n.(type) {
	case *literalNode, *boolColumnNode, *nullNode, *compareConstNode, *compareColumnsNode, *inNode:
		return 0
	case *notNode:
		return cost(n.arg)
	case *isNode:
		return cost(n.arg)
	case *likeNode:
		return 1
	case *andNode:
		return costOf(n.args)
	case *orNode:
		return costOf(n.args)
	default:
		return 2
	}
}

func costOf(args []node) int {
	most := 0
	for _, a := range args {
		most = max(most, cost(a))
	}
	return most
}

// inOrder sorts by cost, since what comes first often decides, and by what the operands print as, and drops repeats.
func (b *builder) inOrder(args []node) []node {
	type printed struct {
		node node
		sql  string
		cost int
	}
	all := make([]printed, len(args))
	for i, a := range args {
		all[i].node, all[i].cost = a, cost(a)
		if b.printed > maxWork {
			continue // refused in the end
		}
		var p printer
		a.print(&p)
		b.printed += p.Len()
		all[i].sql = p.String()
	}
	if b.printed > maxWork {
		return args
	}
	slices.SortStableFunc(all, func(a, b printed) int { return cmp.Or(a.cost-b.cost, strings.Compare(a.sql, b.sql)) })
	out := args[:0:0]
	for i, a := range all {
		if i == 0 || a.sql != all[i-1].sql {
			out = append(out, a.node)
		}
	}
	return out
}
