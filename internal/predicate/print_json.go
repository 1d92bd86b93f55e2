package predicate

func (e *jsonGetExpr) print(p *printer) {
	p.WriteByte('(')
	p.expr(e.json)
	if e.asText {
		p.WriteString(" ->> ")
	} else {
		p.WriteString(" -> ")
	}
	p.expr(e.key)
	p.WriteByte(')')
}

func (n *jsonNode) print(p *printer) {
	p.expr(n.left)
	p.WriteString(" " + n.name + " ")
	p.expr(n.right)
}
