package predicate

func (e *castExpr) print(p *printer) {
	p.expr(e.arg)
	p.WriteString("::")
	p.WriteString(e.to.String())
}
