package predicate

func (n *nullExprNode) print(p *printer) {
	p.expr(n.arg)
	p.WriteString(" IS ")
	if n.not {
		p.WriteString("NOT ")
	}
	p.WriteString("NULL")
}

func (e *constExpr) print(p *printer) { p.constant(e.c) }

func (e *conditionExpr) print(p *printer) { p.enclosed(e.arg) }

func (n *exprCondition) print(p *printer) { p.expr(n.arg) }

func (e *coalesceExpr) print(p *printer) { p.call("COALESCE", e.args...) }

func (e *extremeExpr) print(p *printer) {
	if e.least {
		p.WriteString("LEAST(")
	} else {
		p.WriteString("GREATEST(")
	}
	for i, a := range e.args {
		if i == 0 {
			p.collated(a)
			continue
		}
		p.WriteString(", ")
		p.expr(a)
	}
	p.WriteByte(')')
}
