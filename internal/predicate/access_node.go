package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// accessOf covers the rows of which a node is want, TRUE or FALSE. NULL is neither, so a comparison covers no row whose column
// is NULL. What is not known here is a scan: that is always right, and costs one evaluation a row.
func accessOf(n node, want truth) access.Path {
	switch n := n.(type) {
	case *andNode:
		return joined(n.args, want, want == isTrue)
	case *orNode:
		return joined(n.args, want, want == isFalse)
	case *notNode:
		return accessOf(n.arg, isTrue-want)
	case *literalNode:
		if n.value != want {
			return access.Path{Form: access.None}
		}
	case *boolColumnNode:
		return access.KeysOf(access.TextKey(n.column.index), boolKey(want))
	case *isNode:
		return n.access(want)
	case *boolCompareNode:
		return n.access(want)
	case *nullNode:
		return nullAccess(n.column.index, (want == isTrue) != n.not)
	case *compareConstNode:
		return n.access(want)
	case *inNode:
		return n.access(want)
	case *memberNode:
		return n.access(want)
	case *likeNode:
		return n.access(want)
	case *likeExprNode:
		return n.access(want)
	case *regexNode:
		return n.access(want)
	case *jsonNode:
		return n.access(want)
	case *jsonPathNode:
		return n.access(want)
	case *quantifiedNode:
		return n.access(want)
	case *containNode:
		return n.access(want)
	case *compareExprNode:
		return n.access(want)
	case *distinctNode:
		return n.access(want)
	case *inExprNode:
		return n.access(want)
	}
	return access.Path{}
}

// joined covers a conjunction, or a disjunction if all is false.
func joined(args []node, want truth, all bool) access.Path {
	list := make([]access.Path, len(args))
	for i, a := range args {
		list[i] = accessOf(a, want)
	}
	if all {
		return access.AllOf(list...)
	}
	return access.AnyOf(list...)
}

func nullAccess(column int, null bool) access.Path {
	key := access.NotNull
	if null {
		key = access.IsNull
	}
	return access.KeysOf(access.NullKey(column), key)
}

func boolKey(t truth) string {
	if t == isTrue {
		return "t"
	}
	return "f"
}

// access: only "is" can be looked up; "is not" also holds of NULL.
func (n *isNode) access(want truth) access.Path {
	if (want == isTrue) == n.not {
		return access.Path{}
	}
	if n.want != isUnknown {
		return accessOf(n.arg, n.want)
	}
	if c, ok := n.arg.(*boolColumnNode); ok {
		return nullAccess(c.column.index, true)
	}
	return access.Path{}
}

// access knows a comparison with TRUE or FALSE for equality.
func (n *boolCompareNode) access(want truth) access.Path {
	left, right := n.left, n.right
	if _, ok := left.(*literalNode); ok {
		left, right = right, left
	}
	literal, ok := right.(*literalNode)
	switch {
	case !ok || !n.op.isEquality():
		return access.Path{}
	case literal.value == isUnknown:
		return access.Path{Form: access.None}
	case (n.op == opEqual) == (want == isTrue):
		return accessOf(left, literal.value)
	}
	return accessOf(left, isTrue-literal.value)
}

func (n *compareConstNode) access(want truth) access.Path {
	op := n.op
	if want == isFalse {
		op = op.negated()
	}
	if op == opNotEqual {
		return access.Path{}
	}
	if op == opEqual && n.byText {
		return access.KeysOf(access.TextKey(n.column.index), n.c.Text)
	}
	k := access.ValueKey(n.column.index, n.read)
	bound := access.Bound{Set: true, Value: string(value.AppendOrdered(nil, n.read.Domain, n.value))}
	out := access.Path{Form: access.Range, Key: k}
	switch op {
	case opEqual:
		return access.KeysOf(k, bound.Value)
	case opLess, opLessEqual:
		bound.Exclusive = op == opLess
		out.High = bound
	default:
		bound.Exclusive = op == opGreater
		out.Low = bound
	}
	return out
}

func (n *inNode) access(want truth) access.Path {
	if want == isFalse {
		if n.hasNull { // never FALSE
			return access.Path{Form: access.None}
		}
		return access.Path{}
	}
	values := make([]string, 0, len(n.items))
	if n.texts != nil {
		for text := range n.texts {
			values = append(values, text)
		}
		return access.KeysOf(access.TextKey(n.column.index), values...)
	}
	for i := range n.values {
		values = append(values, string(value.AppendOrdered(nil, n.read.Domain, &n.values[i])))
	}
	return access.KeysOf(access.ValueKey(n.column.index, n.read), values...)
}

// Access returns how the clause's rows can be found.
func (p *Predicate) Access() access.Path { return accessOf(p.root, isTrue) }
