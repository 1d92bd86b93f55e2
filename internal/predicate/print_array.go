package predicate

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
