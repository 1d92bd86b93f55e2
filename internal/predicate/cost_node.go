package predicate

import (
	"math"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

func weighNodes(args []node, s sizes) float64 {
	steps := float64(visit)
	for _, a := range args {
		steps += a.weigh(s)
	}
	return steps
}

func (n *andNode) weigh(s sizes) float64      { return weighNodes(n.args, s) }
func (n *orNode) weigh(s sizes) float64       { return weighNodes(n.args, s) }
func (n *notNode) weigh(s sizes) float64      { return visit + n.arg.weigh(s) }
func (n *isNode) weigh(s sizes) float64       { return visit + n.arg.weigh(s) }
func (n *literalNode) weigh(sizes) float64    { return visit }
func (n *boolColumnNode) weigh(sizes) float64 { return visit }
func (n *nullNode) weigh(sizes) float64       { return visit }

func (n *compositeNullNode) weigh(s sizes) float64 { return visit + 2*s(n.column.index) }

func (n *memberNode) weigh(s sizes) float64      { return n.subquery.weigh(s) }
func (n *boolCompareNode) weigh(s sizes) float64 { return visit + n.left.weigh(s) + n.right.weigh(s) }
func (n *exprCondition) weigh(s sizes) float64   { return visit + n.arg.weigh(s).steps }
func (n *nullExprNode) weigh(s sizes) float64    { return visit + n.arg.weigh(s).steps }

// weigh is making the key and looking it up.
func (q *Subquery) weigh(s sizes) float64 {
	steps := 5.0 * look
	for _, c := range q.Columns {
		steps += perRead * s(c)
	}
	return steps
}

func (n *compareConstNode) weigh(s sizes) float64 {
	size := s(n.column.index)
	if n.byText {
		return visit + perText*math.Min(size, float64(len(n.c.Text)))
	}
	return visit + readSteps(n.column.k)*size + comparing(n.column.k, load{bytes: size}, load{bytes: float64(len(n.c.Text))})
}

func (n *compareColumnsNode) weigh(s sizes) float64 {
	l, r := s(n.left.index), s(n.right.index)
	return visit + readSteps(n.left.k)*l + readSteps(n.right.k)*r + comparing(n.left.k, load{bytes: l}, load{bytes: r})
}

func (n *inNode) weigh(s sizes) float64 {
	size := s(n.column.index)
	if n.texts != nil {
		return look + perText*size // a hash
	}
	return look*math.Log2(float64(2+len(n.values))) + perRead*size
}

func (n *inExprNode) weigh(s sizes) float64 {
	l := n.left.weigh(s)
	if n.sorted {
		var largest load
		for i := range n.members {
			largest.bytes = math.Max(largest.bytes, n.members[i].weigh(s).bytes)
		}
		return l.steps + comparing(n.left.k, l, largest)*math.Log2(float64(2+len(n.values)))
	}
	steps := l.steps
	for i := range n.members {
		steps += comparing(n.left.k, l, n.members[i].weigh(s))
	}
	return steps
}

func (r *relation) weighBoth(s sizes) float64 {
	left, right := r.left.weigh(s), r.right.weigh(s)
	return visit + left.steps + right.steps + r.scan + comparing(r.left.k, left, right)
}

func (n *compareExprNode) weigh(s sizes) float64 { return n.weighBoth(s) }
func (n *distinctNode) weigh(s sizes) float64    { return n.weighBoth(s) }

func (n *likeNode) weigh(s sizes) float64 { return visit + n.match.Steps(s(n.column.index)) }

func (n *likeExprNode) weigh(s sizes) float64 {
	text := n.text.weigh(s)
	if n.match != nil {
		return visit + text.steps + n.match.Steps(text.bytes)
	}
	pattern := n.pattern.weigh(s)
	steps := visit + text.steps + pattern.steps + like.StepsOfRow(text.bytes, pattern.bytes)
	if n.fold {
		steps += text.bytes + pattern.bytes
	}
	return steps
}

func (n *regexNode) weigh(s sizes) float64 {
	text := n.text.weigh(s)
	return visit + text.steps + n.match.Steps(text.bytes)
}

func (n *quantifiedNode) weigh(s sizes) float64 {
	left, array := n.left.weigh(s), n.array.weigh(s)
	each := perElement + perText*left.bytes
	if n.steps != nil {
		each = n.steps(left.bytes)
	}
	return visit + left.steps + array.steps + each*elements(&n.array, array)
}

// weigh is that of a comparison of each element with each. Those of an array that is empty are none.
func (n *containNode) weigh(s sizes) float64 {
	left, right := n.left.weigh(s), n.right.weigh(s)
	return visit + left.steps + right.steps + perElement*elements(&n.left, left)*elements(&n.right, right)
}

// weigh is that of reading bounds and comparing them.
func (n *rangeNode) weigh(s sizes) float64 {
	left, right := n.left.weigh(s), n.right.weigh(s)
	return visit + left.steps + right.steps + 4*look + perRead*(left.bytes+right.bytes)
}

func (n *jsonNode) weigh(s sizes) float64 {
	left, right := n.left.weigh(s), n.right.weigh(s)
	times := 1.0
	switch c, isConst := n.right.expr.(*constExpr); {
	case n.name == "@>" && isConst:
		times = 1 + float64(value.JSONNodes(c.value.Bytes))
	case n.name == "@>":
		times = 1 + right.bytes/2
	case n.name != "?":
		times = elements(&n.right, right)
	}
	return visit + left.steps + right.steps + times*(look+perJSON*left.bytes)
}

func (n *jsonPathNode) weigh(s sizes) float64 {
	document := n.document.weigh(s)
	return visit + document.steps + n.path.Steps(document.bytes)
}
