package predicate

func (n *compareConstNode) print(p *printer) {
	p.column(n.column)
	// Equality keeps the column's own collation where that changes nothing, so that indexes serve it.
	if n.read.Kind.IsCollated() && (!n.op.isEquality() || n.column.nonDeterministic) {
		p.WriteString(byteOrder)
	}
	p.operator(n.op)
	p.constant(n.c)
}

func (n *compareColumnsNode) print(p *printer) {
	p.column(n.left)
	if n.readLeft.Kind.IsCollated() {
		p.WriteString(byteOrder) // also for equality: two columns may have different collations
	}
	p.operator(n.op)
	p.column(n.right)
}

func (n *compareExprNode) print(p *printer) {
	if n.op.isEquality() {
		p.equated(n.left, n.right)
	} else {
		p.collated(n.left)
	}
	p.operator(n.op)
	p.expr(n.right)
}

func (n *distinctNode) print(p *printer) {
	p.equated(n.left, n.right)
	p.WriteString(" IS ")
	if n.not {
		p.WriteString("NOT ")
	}
	p.WriteString("DISTINCT FROM ")
	p.expr(n.right)
}

// collated prints the operand that decides the collation.
func (p *printer) collated(s scalar) {
	p.expr(s)
	if s.k.Element().IsCollated() {
		p.WriteString(byteOrder)
	}
}

// equated prints the left side of what looks for equal values. Beside a constant a column keeps its own collation where
// that changes nothing, so that indexes serve it.
func (p *printer) equated(left, right scalar) {
	column, other := left, right
	if _, ok := left.expr.(*constExpr); ok {
		column, other = right, left
	}
	c, isColumn := column.expr.(*columnExpr)
	if _, isConst := other.expr.(*constExpr); isColumn && isConst && !c.column.nonDeterministic {
		p.expr(left)
		return
	}
	p.collated(left)
}
