package predicate

func (e *temporalExpr) print(p *printer) {
	p.WriteByte('(')
	p.expr(e.left)
	p.WriteString(" " + string(rune(e.op)) + " ")
	p.expr(e.right)
	p.WriteByte(')')
}

func (e *mapExpr) print(p *printer) {
	p.WriteString(e.name)
	p.WriteByte('(')
	if e.first != nil {
		p.constant(*e.first)
		p.WriteString(", ")
	}
	p.expr(e.arg)
	p.WriteByte(')')
}

func (e *intervalSignExpr) print(p *printer) {
	p.WriteString("(- ")
	p.expr(e.arg)
	p.WriteByte(')')
}
