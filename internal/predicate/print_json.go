package predicate

func (e *jsonGetExpr) print(p *printer) {
	p.WriteByte('(')
	p.expr(e.json)
	name := " ->"
	if e.key.k.IsArray() {
		name = " #>"
	}
	if e.asText {
		name += ">"
	}
	p.WriteString(name + " ")
	p.expr(e.key)
	p.WriteByte(')')
}

func (n *jsonNode) print(p *printer) {
	p.expr(n.left)
	p.WriteString(" " + n.name + " ")
	p.expr(n.right)
}
