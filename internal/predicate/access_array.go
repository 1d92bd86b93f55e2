package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// columnLookup is how an expression's values are found by the column that it stands for: the key of the column, and how what they
// are compared with becomes a value of it.
type columnLookup struct {
	key  access.Key
	k    value.Kind    // of the expression's values, or of their elements
	read value.Reading // of constants of that kind
	fold bool          // the key is a FoldedKey
}

// columnLookupOf knows bare columns, those that were only brought to the type of what they are compared with, and lower() and
// upper() of columns.
func columnLookupOf(s scalar) (l columnLookup, ok bool) {
	if c, ok := foldedColumn(s); ok {
		return columnLookup{key: access.FoldedKey(c.index), k: s.k, fold: true}, true
	}
	from, x := s.k, s.expr
	if c, cast := x.(*castExpr); cast {
		from, x = c.arg.k, c.arg.expr
	}
	c, ok := x.(*columnExpr)
	if !ok || from.IsArray() != s.k.IsArray() {
		return columnLookup{}, false
	}
	l.k = s.k.Element()
	plan, ok := planLookup(from.Element(), l.k)
	if !ok {
		return columnLookup{}, false
	}
	l.key, l.read = access.ValueKey(c.column.index, plan.left), plan.right
	switch {
	case from.IsArray():
		l.key = access.ElementsKey(c.column.index, plan.left)
	case l.k == value.Text && from.CastsAsItIs(), comparesBytes(from, plan.left, value.Constant{Kind: l.k}):
		l.key = access.TextKey(c.column.index)
	}
	return l, true
}

// planLookup is how a column of one kind is read beside values of the kind that it is cast to: only for casts after which values are equal
// exactly when the readings are.
func planLookup(from, to value.Kind) (comparisonPlan, bool) {
	switch {
	case from == value.Bool && to == value.Bool:
		r := value.Reading{Kind: value.Bool, Domain: value.DomainBytes}
		return comparisonPlan{value.DomainBytes, r, r}, true
	case to == value.Text && from != value.Text && from.CastsAsItIs():
		r := value.Reading{Kind: value.Text, Domain: value.DomainBytes}
		return comparisonPlan{value.DomainBytes, r, r}, true
	case from == to, from.IsInt() && to.IsInt(), from.IsInt() && (to == value.Numeric || to == value.Float8), from == value.Float4 && to == value.Float8,
		from.IsText() && to == value.Text:
		return planComparison(from, to)
	}
	return comparisonPlan{}, false
}

// keys covers the rows that have one of some values, of which NULL is none.
func (l *columnLookup) keys(values ...value.Datum) access.Path {
	keys := make([]string, 0, len(values))
	for i := range values {
		d := &values[i]
		if d.Null {
			continue
		}
		text := value.TextOf(l.k, d)
		switch {
		case l.fold:
			keys = append(keys, string(like.Fold(nil, text)))
			continue
		case l.key.Text():
			keys = append(keys, string(text))
			continue
		}
		v := value.Operand{Int: d.Int, Float: d.Float}
		switch l.read.Domain {
		case value.DomainBytes, value.DomainDecimal:
			if !l.read.Read(text, &v) {
				return access.Path{}
			}
		case value.DomainInt, value.DomainFloat:
		}
		keys = append(keys, string(value.AppendOrdered(nil, l.read.Domain, &v)))
	}
	if len(keys) == 0 {
		return access.Path{Form: access.None}
	}
	return access.KeysOf(l.key, keys...)
}

// maxContained bounds the elements of an array constant among which an index chooses: each of them covers the rows that have all.
const maxContained = 16

// containing covers the rows whose array has all of some elements; NULLs among them tell nothing.
func (l *columnLookup) containing(elements []value.Datum) access.Path {
	var args []access.Path
	for _, e := range elements {
		if !e.Null {
			args = append(args, l.keys(e))
		}
		if len(args) == maxContained {
			break
		}
	}
	return access.AllOf(args...)
}

// constantOf returns the value of a constant.
func constantOf(s scalar) (d value.Datum, ok bool) {
	switch e := s.expr.(type) {
	case *constExpr:
		return e.value, true
	case *conditionExpr:
		if _, ok := e.arg.(*literalNode); ok {
			return e.eval(nil), true
		}
	}
	return value.Datum{}, false
}

// sides finds the constant of two operands of the same kind, and how rows are found by the other one.
func sides(a, b scalar) (l columnLookup, constant value.Datum, ok bool) {
	constant, ok = constantOf(b)
	if !ok {
		a, b = b, a
		constant, ok = constantOf(b)
	}
	if !ok || a.k != b.k {
		return columnLookup{}, value.Datum{}, false
	}
	l, ok = columnLookupOf(a)
	return l, constant, ok
}

// access knows the two spellings of being an element: = ANY that is TRUE, and <> ALL that is FALSE.
func (n *quantifiedNode) access(want truth) access.Path {
	isElement := n.name == "=" && !n.all && want == isTrue || n.name == "<>" && n.all && want == isFalse
	if !isElement || n.left.k != n.array.k.Element() {
		return access.Path{}
	}
	if d, ok := constantOf(n.left); ok {
		if l, ok := columnLookupOf(n.array); ok {
			return l.keys(d)
		}
		return access.Path{}
	}
	d, ok := constantOf(n.array)
	l, found := columnLookupOf(n.left)
	switch {
	case !ok || !found:
		return access.Path{}
	case d.Null:
		return access.Path{Form: access.None}
	}
	return l.keys(d.Array.Elements...)
}

func (n *containNode) access(want truth) access.Path {
	if want == isFalse {
		return access.Path{}
	}
	l, d, ok := sides(n.left, n.right)
	switch {
	case !ok:
		return access.Path{}
	case d.Null:
		return access.Path{Form: access.None}
	case n.overlap:
		return l.keys(d.Array.Elements...)
	}
	if _, contained := constantOf(n.left); contained {
		return access.Path{} // column <@ constant, as it is also of an empty array
	}
	for _, e := range d.Array.Elements {
		if e.Null {
			return access.Path{Form: access.None}
		}
	}
	return l.containing(d.Array.Elements)
}

// equalAccess covers the rows of which both sides are equal.
func (r *relation) equalAccess() access.Path {
	for _, side := range [][2]scalar{{r.left, r.right}, {r.right, r.left}} {
		if d, isConst := constantOf(side[1]); isConst && !d.Null {
			if p, ok := documentAccess(side[0], d); ok {
				return p
			}
		}
	}
	l, d, ok := sides(r.left, r.right)
	switch {
	case !ok || d.Null:
		return access.Path{}
	case l.key.Elements():
		return l.containing(d.Array.Elements)
	}
	return l.keys(d)
}

func (n *compareExprNode) access(want truth) access.Path {
	op := n.op
	if want == isFalse {
		op = op.negated()
	}
	if op != opEqual {
		return access.Path{}
	}
	return n.equalAccess()
}

func (n *distinctNode) access(want truth) access.Path {
	if (want == isTrue) != n.not {
		return access.Path{}
	}
	return n.equalAccess()
}

func (n *inExprNode) access(want truth) access.Path {
	if want == isFalse {
		if n.hasNull { // never FALSE
			return access.Path{Form: access.None}
		}
		return access.Path{}
	}
	if p, ok := documentAccess(n.left, n.values...); ok {
		return p
	}
	l, ok := columnLookupOf(n.left)
	if !ok || l.key.Elements() || n.members[0].k != n.left.k {
		return access.Path{}
	}
	return l.keys(n.values...)
}
