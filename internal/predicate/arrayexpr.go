package predicate

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
		test        func(left, element *datum) bool
	}

	// containNode is left @> right, or && (overlap), on arrays. <@ is @> the other way round.
	containNode struct {
		overlap     bool
		left, right scalar
		compare     func(a, b *datum) int
	}
)

// flatLower bounds the first subscript of an array that is joined.
const flatLower = 1_000_000_000

func (e *arrayExpr) eval(row [][]byte) datum {
	elements := make([]datum, len(e.elements))
	for i, x := range e.elements {
		elements[i] = x.eval(row)
	}
	return datum{a: newArray(elements)}
}

func (e *flatExpr) eval(row [][]byte) datum {
	d := e.arg.eval(row)
	if !d.null && (len(d.a.dims) > 1 || len(d.a.dims) == 1 && !between(int64(d.a.dims[0].lower), flatLower)) {
		return nullDatum
	}
	return d
}

func (e *joinExpr) eval(row [][]byte) datum {
	l, r := e.left.eval(row), e.right.eval(row)
	switch {
	case e.left.k.isArray() && e.right.k.isArray():
		if l.null {
			return r
		}
		if r.null {
			return l
		}
		return datum{a: l.a.joined(r.a)}
	case e.left.k.isArray():
		if l.null {
			l.a = &array{}
		}
		return datum{a: l.a.joined(newArray([]datum{r}))}
	}
	if r.null {
		r.a = &array{}
	}
	out := newArray([]datum{l}).joined(r.a)
	if len(r.a.dims) == 1 {
		out.dims = []dimension{{lower: r.a.dims[0].lower, length: len(out.elements)}}
	}
	return datum{a: out}
}

func (e *subscriptExpr) eval(row [][]byte) datum {
	d := e.array.eval(row)
	if d.null {
		return d
	}
	upper, ok := subscripts(row, e.upper, int64(1)<<40)
	if !ok {
		return nullDatum
	}
	if !e.slice {
		return d.a.at(upper)
	}
	lower, ok := subscripts(row, e.lower, -int64(1)<<40)
	if !ok {
		return nullDatum
	}
	return datum{a: d.a.slice(lower, upper)}
}

func subscripts(row [][]byte, exprs []scalar, missing int64) (out []int64, ok bool) {
	out = make([]int64, len(exprs))
	for i, x := range exprs {
		if x.expr == nil {
			out[i] = missing
			continue
		}
		d := x.eval(row)
		if d.null {
			return nil, false
		}
		out[i] = d.i
	}
	return out, true
}

func (e *dimsExpr) eval(row [][]byte) datum {
	d := e.arg.eval(row)
	if d.null || len(d.a.dims) == 0 {
		return nullDatum
	}
	return datum{i: int64(len(d.a.dims))}
}

func (n *quantifiedNode) eval(row [][]byte) truth {
	a := n.array.eval(row)
	if a.null {
		return isUnknown
	}
	out := truthOf(n.all)
	if len(a.a.elements) == 0 {
		return out
	}
	l := n.left.eval(row)
	if l.null {
		return isUnknown
	}
	for i := range a.a.elements {
		e := &a.a.elements[i]
		switch {
		case e.null:
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
	case l.null || r.null:
		return isUnknown
	case n.overlap:
		return truthOf(l.a.overlaps(r.a, n.compare))
	}
	return truthOf(l.a.contains(r.a, n.compare))
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

func (e *arrayExpr) print(p *printer) {
	p.WriteString("ARRAY[")
	for i, x := range e.elements {
		if i > 0 {
			p.WriteString(", ")
		}
		p.expr(x)
	}
	p.WriteByte(']')
}

func (e *flatExpr) print(p *printer) {
	p.WriteString("CASE WHEN (pg_catalog.array_ndims(")
	p.expr(e.arg)
	p.WriteString(") > '1'::integer OR pg_catalog.array_lower(")
	p.expr(e.arg)
	p.WriteString(", 1) NOT BETWEEN '-1000000000'::integer AND '1000000000'::integer) IS NOT TRUE THEN ")
	p.expr(e.arg)
	p.WriteString(" END")
}

func (e *dimsExpr) print(p *printer) { p.call("pg_catalog.array_ndims", e.arg) }

func (e *joinExpr) print(p *printer) {
	p.WriteByte('(')
	p.expr(e.left)
	p.WriteString(" || ")
	p.expr(e.right)
	p.WriteByte(')')
}

func (e *subscriptExpr) print(p *printer) {
	p.WriteByte('(')
	p.expr(e.array)
	p.WriteByte(')')
	for i, u := range e.upper {
		p.WriteByte('[')
		if e.slice {
			if e.lower[i].expr != nil {
				p.expr(e.lower[i])
			}
			p.WriteByte(':')
		}
		if u.expr != nil {
			p.expr(u)
		}
		p.WriteByte(']')
	}
}

func (n *quantifiedNode) print(p *printer) {
	if n.name == "=" || n.name == "<>" {
		p.equated(n.left, n.array)
	} else {
		p.collated(n.left)
	}
	p.WriteString(" " + n.name + " ")
	if n.all {
		p.WriteString("ALL (")
	} else {
		p.WriteString("ANY (")
	}
	p.expr(n.array)
	p.WriteByte(')')
}

func (n *containNode) print(p *printer) {
	p.equated(n.left, n.right)
	// Extensions such as intarray have operators of these names, with another meaning, that fit some arrays better.
	if n.overlap {
		p.WriteString(" OPERATOR(pg_catalog.&&) ")
	} else {
		p.WriteString(" OPERATOR(pg_catalog.@>) ")
	}
	p.expr(n.right)
}
