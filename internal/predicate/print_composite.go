package predicate

func (n *compositeNullNode) print(p *printer) {
	p.column(n.column)
	if n.not {
		p.WriteString(" IS NOT NULL")
	} else {
		p.WriteString(" IS NULL")
	}
}
