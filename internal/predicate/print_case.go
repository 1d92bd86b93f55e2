package predicate

// print always writes ELSE: a CASE without it is a guard.
func (e *caseExpr) print(p *printer) {
	p.WriteString("CASE")
	for i, n := range e.when {
		p.WriteString(" WHEN ")
		n.print(p)
		p.WriteString(" THEN ")
		p.expr(e.then[i])
	}
	p.WriteString(" ELSE ")
	p.expr(e.otherwise)
	p.WriteString(" END")
}
