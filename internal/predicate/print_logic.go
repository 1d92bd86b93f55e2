package predicate

func (n *andNode) print(p *printer) { p.join(n.args, " AND ") }

func (n *orNode) print(p *printer) { p.join(n.args, " OR ") }

func (n *notNode) print(p *printer) {
	p.WriteString("NOT ")
	p.enclosed(n.arg)
}

func (n *literalNode) print(p *printer) {
	p.WriteString([...]string{"false", "NULL::boolean", "true"}[n.value])
}

func (n *boolColumnNode) print(p *printer) { p.column(n.column) }

func (n *isNode) print(p *printer) {
	p.enclosed(n.arg)
	p.WriteString(" IS ")
	if n.not {
		p.WriteString("NOT ")
	}
	p.WriteString([...]string{"FALSE", "UNKNOWN", "TRUE"}[n.want])
}

func (n *nullNode) print(p *printer) {
	p.column(n.column)
	p.WriteString(" IS ")
	if n.not {
		p.WriteString("NOT ")
	}
	p.WriteString("NULL")
}

func (n *boolCompareNode) print(p *printer) {
	p.enclosed(n.left)
	p.operator(n.op)
	p.enclosed(n.right)
}
