package predicate

// print names the schema: a function of the user's could fit better.
func (e *callExpr) print(p *printer) {
	p.WriteString("pg_catalog." + e.name + "(")
	for i, a := range e.args {
		if i > 0 {
			p.WriteString(", ")
		}
		if i == 0 && e.collated {
			p.collated(a)
			continue
		}
		p.expr(a)
	}
	p.WriteByte(')')
}
