package predicate

func (e *jsonLengthExpr) print(p *printer) {
	p.WriteString("CASE WHEN pg_catalog.jsonb_typeof(")
	p.expr(e.arg)
	p.WriteString(") = 'array' THEN pg_catalog.jsonb_array_length(")
	p.expr(e.arg)
	p.WriteString(") END")
}

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

// print leaves the path untyped, which is a jsonpath beside these operators.
func (n *jsonPathNode) print(p *printer) {
	p.expr(n.document)
	p.WriteString(" " + n.name + " " + quoteLiteral(n.path.String()))
}
