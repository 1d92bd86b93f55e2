package predicate

func (n *rangeNode) print(p *printer) {
	p.expr(n.left)
	if n.overlap {
		p.WriteString(" && ")
	} else {
		p.WriteString(" @> ")
	}
	p.expr(n.right)
}
