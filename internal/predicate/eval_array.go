package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

type (
	// arrayExpr is ARRAY[…] of expressions.
	arrayExpr struct{ elements []scalar }

	// flatExpr makes arrays of several dimensions NULL, and those whose subscripts are near the ends of integer, so that
	// joining cannot fail.
	flatExpr struct{ arg scalar }

	// joinExpr joins arrays of one dimension, or an array and an element on either side. One that is NULL adds nothing.
	joinExpr struct {
		left, right scalar
	}

	// subscriptExpr is (array)[i], or (array)[l:u] where a dimension without bounds prints as [:].
	subscriptExpr struct {
		array        scalar
		slice        bool
		lower, upper []scalar // without an expr where a slice has no bound; lower is nil without slice
	}

	// dimsExpr is array_ndims.
	dimsExpr struct{ arg scalar }

	// quantifiedNode is left op ANY (array), or ALL.
	quantifiedNode struct {
		name        string // the operator
		all         bool
		left, array scalar
		test        func(left, element *value.Datum) bool
		steps       func(left float64) float64 // what test takes for a left side of that size; nil: a comparison
	}

	// containNode is left @> right, or && (overlap), on arrays. <@ is @> the other way round.
	containNode struct {
		overlap     bool
		left, right scalar
		compare     func(a, b *value.Datum) int
	}
)

// flatLower bounds the first subscript of an array that is joined.
const flatLower = 1_000_000_000

func (e *arrayExpr) eval(row [][]byte) value.Datum {
	elements := make([]value.Datum, len(e.elements))
	for i, x := range e.elements {
		elements[i] = x.eval(row)
	}
	return value.Datum{Array: value.NewArray(elements)}
}

func (e *flatExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if !d.Null && (len(d.Array.Dims) > 1 || len(d.Array.Dims) == 1 && !between(int64(d.Array.Dims[0].Lower), flatLower)) {
		return value.Null
	}
	return d
}

func (e *joinExpr) eval(row [][]byte) value.Datum {
	l, r := e.left.eval(row), e.right.eval(row)
	switch {
	case e.left.k.IsArray() && e.right.k.IsArray():
		if l.Null {
			return r
		}
		if r.Null {
			return l
		}
		return value.Datum{Array: l.Array.Joined(r.Array)}
	case e.left.k.IsArray():
		if l.Null {
			l.Array = &value.Array{}
		}
		return value.Datum{Array: l.Array.Joined(value.NewArray([]value.Datum{r}))}
	}
	if r.Null {
		r.Array = &value.Array{}
	}
	out := value.NewArray([]value.Datum{l}).Joined(r.Array)
	if len(r.Array.Dims) == 1 {
		out.Dims = []value.Dimension{{Lower: r.Array.Dims[0].Lower, Length: len(out.Elements)}}
	}
	return value.Datum{Array: out}
}

func (e *subscriptExpr) eval(row [][]byte) value.Datum {
	d := e.array.eval(row)
	if d.Null {
		return d
	}
	upper, ok := subscripts(row, e.upper, int64(1)<<40)
	if !ok {
		return value.Null
	}
	if !e.slice {
		return d.Array.At(upper)
	}
	lower, ok := subscripts(row, e.lower, -int64(1)<<40)
	if !ok {
		return value.Null
	}
	return value.Datum{Array: d.Array.Slice(lower, upper)}
}

func subscripts(row [][]byte, exprs []scalar, missing int64) (out []int64, ok bool) {
	out = make([]int64, len(exprs))
	for i, x := range exprs {
		if x.expr == nil {
			out[i] = missing
			continue
		}
		d := x.eval(row)
		if d.Null {
			return nil, false
		}
		out[i] = d.Int
	}
	return out, true
}

func (e *dimsExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null || len(d.Array.Dims) == 0 {
		return value.Null
	}
	return value.Datum{Int: int64(len(d.Array.Dims))}
}

func (n *quantifiedNode) eval(row [][]byte) truth {
	a := n.array.eval(row)
	if a.Null {
		return isUnknown
	}
	out := truthOf(n.all)
	if len(a.Array.Elements) == 0 {
		return out
	}
	l := n.left.eval(row)
	if l.Null {
		return isUnknown
	}
	for i := range a.Array.Elements {
		e := &a.Array.Elements[i]
		switch {
		case e.Null:
			out = isUnknown
		case n.test(&l, e) != n.all:
			return truthOf(!n.all)
		}
	}
	return out
}

func (n *containNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	switch {
	case l.Null || r.Null:
		return isUnknown
	case n.overlap:
		return truthOf(l.Array.Overlaps(r.Array, n.compare))
	}
	return truthOf(l.Array.Contains(r.Array, n.compare))
}

func (e *arrayExpr) columns(add func(int)) { columnsOf(e.elements, add) }
func (e *flatExpr) columns(add func(int))  { e.arg.columns(add) }
func (e *dimsExpr) columns(add func(int))  { e.arg.columns(add) }

func (e *joinExpr) columns(add func(int)) {
	e.left.columns(add)
	e.right.columns(add)
}

func (e *subscriptExpr) columns(add func(int)) {
	e.array.columns(add)
	for _, list := range [][]scalar{e.lower, e.upper} {
		for _, x := range list {
			if x.expr != nil {
				x.columns(add)
			}
		}
	}
}

func (n *quantifiedNode) columns(add func(int)) {
	n.left.columns(add)
	n.array.columns(add)
}

func (n *containNode) columns(add func(int)) {
	n.left.columns(add)
	n.right.columns(add)
}
