package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

// accessOf covers the rows of which a node is want, TRUE or FALSE. NULL is neither, so a comparison covers no row whose column
// is NULL. What is not known here is a scan: that is always right, and costs one evaluation a row.
func accessOf(n node, want truth) Access {
	switch n := n.(type) {
	case *andNode:
		return joined(n.args, want, want == isTrue)
	case *orNode:
		return joined(n.args, want, want == isFalse)
	case *notNode:
		return accessOf(n.arg, isTrue-want)
	case *literalNode:
		if n.value != want {
			return Access{Form: AccessNone}
		}
	case *boolColumnNode:
		return keysOf(Key{column: n.column.index, form: keyText}, boolKey(want))
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
	return Access{}
}

// joined covers a conjunction, or a disjunction if all is false.
func joined(args []node, want truth, all bool) Access {
	list := make([]Access, len(args))
	for i, a := range args {
		list[i] = accessOf(a, want)
	}
	if all {
		return All(list...)
	}
	return Any(list...)
}

func keysOf(k Key, values ...string) Access {
	return Access{Form: AccessKeys, Key: k, Values: distinct(values)}
}

func nullAccess(column int, null bool) Access {
	value := notNullKey
	if null {
		value = nullKey
	}
	return keysOf(Key{column: column, form: keyNull}, value)
}

func boolKey(t truth) string {
	if t == isTrue {
		return "t"
	}
	return "f"
}

// access: only "is" can be looked up; "is not" also holds of NULL.
func (n *isNode) access(want truth) Access {
	if (want == isTrue) == n.not {
		return Access{}
	}
	if n.want != isUnknown {
		return accessOf(n.arg, n.want)
	}
	if c, ok := n.arg.(*boolColumnNode); ok {
		return nullAccess(c.column.index, true)
	}
	return Access{}
}

// access knows a comparison with TRUE or FALSE for equality.
func (n *boolCompareNode) access(want truth) Access {
	left, right := n.left, n.right
	if _, ok := left.(*literalNode); ok {
		left, right = right, left
	}
	literal, ok := right.(*literalNode)
	switch {
	case !ok || !n.op.isEquality():
		return Access{}
	case literal.value == isUnknown:
		return Access{Form: AccessNone}
	case (n.op == opEqual) == (want == isTrue):
		return accessOf(left, literal.value)
	}
	return accessOf(left, isTrue-literal.value)
}

func (n *compareConstNode) access(want truth) Access {
	op := n.op
	if want == isFalse {
		op = op.negated()
	}
	if op == opNotEqual {
		return Access{}
	}
	if op == opEqual && n.sameText != nil {
		return keysOf(Key{column: n.column.index, form: keyText}, string(n.sameText))
	}
	k := Key{column: n.column.index, form: keyValue, read: n.read}
	bound := Bound{Set: true, Value: string(value.AppendOrdered(nil, n.read.Domain, &n.value))}
	out := Access{Form: AccessRange, Key: k}
	switch op {
	case opEqual:
		return keysOf(k, bound.Value)
	case opLess, opLessEqual:
		bound.Exclusive = op == opLess
		out.High = bound
	default:
		bound.Exclusive = op == opGreater
		out.Low = bound
	}
	return out
}

// negated is the operator that is true where this one is false.
func (o operator) negated() operator {
	return [...]operator{opNotEqual, opEqual, opGreaterEqual, opGreater, opLessEqual, opLess}[o]
}

func (n *inNode) access(want truth) Access {
	if want == isFalse {
		if n.hasNull { // never FALSE
			return Access{Form: AccessNone}
		}
		return Access{}
	}
	values := make([]string, 0, len(n.items))
	if n.texts != nil {
		for text := range n.texts {
			values = append(values, text)
		}
		return keysOf(Key{column: n.column.index, form: keyText}, values...)
	}
	for i := range n.values {
		values = append(values, string(value.AppendOrdered(nil, n.read.Domain, &n.values[i])))
	}
	return keysOf(Key{column: n.column.index, form: keyValue, read: n.read}, values...)
}

// access of LIKE is the range of texts that begin as the pattern does.
func (n *likeNode) access(want truth) Access {
	if want == isFalse || n.match.Fold {
		return Access{}
	}
	prefix, whole := n.match.Prefix()
	k := Key{column: n.column.index, form: keyValue, read: value.Reading{Kind: n.column.k, Domain: value.DomainBytes}}
	if whole {
		k = Key{column: n.column.index, form: keyText}
		return keysOf(k, string(prefix))
	}
	if len(prefix) == 0 {
		return Access{}
	}
	out := Access{Form: AccessRange, Key: k, Low: Bound{Set: true, Value: string(prefix)}}
	end := []byte(string(prefix))
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) > 0 {
		end[len(end)-1]++
		out.High = Bound{Set: true, Exclusive: true, Value: string(end)}
	}
	return out
}
