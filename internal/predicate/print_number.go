package predicate

func (e *arithExpr) print(p *printer) {
	if e.op == 'd' {
		p.call("div", e.left, e.right)
		return
	}
	p.WriteByte('(')
	p.expr(e.left)
	p.WriteString(" " + string(rune(e.op)) + " ")
	p.expr(e.right)
	p.WriteByte(')')
}

func (e *unaryExpr) print(p *printer) {
	p.WriteString("(" + string(rune(e.op)) + " ")
	p.expr(e.arg)
	p.WriteByte(')')
}

func (e *sqrtExpr) print(p *printer) {
	p.WriteString("CASE WHEN ")
	p.expr(e.arg)
	p.WriteString(" >= '0'::double precision THEN (|/ ")
	p.expr(e.arg)
	p.WriteString(") END")
}

func (e *nullifExpr) print(p *printer) {
	p.WriteString("NULLIF(")
	p.collated(e.left)
	p.WriteString(", ")
	p.expr(e.right)
	p.WriteByte(')')
}
