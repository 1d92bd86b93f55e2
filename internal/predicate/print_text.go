package predicate

func (e *foldExpr) print(p *printer) {
	if e.upper {
		p.WriteString("upper(")
	} else {
		p.WriteString("lower(")
	}
	p.collated(e.arg)
	p.WriteByte(')')
}

func (e *lengthExpr) print(p *printer) { p.call("length", e.arg) }

func (e *concatExpr) print(p *printer) {
	if e.skipNull {
		p.call("pg_catalog.concat", e.args...) // one of the user's could fit better
		return
	}
	p.WriteByte('(')
	for i, a := range e.args {
		if i > 0 {
			p.WriteString(" || ")
		}
		p.expr(a)
	}
	p.WriteByte(')')
}
