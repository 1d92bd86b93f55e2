package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

func (e *patternExpr) print(p *printer) {
	p.WriteString("CASE WHEN ")
	p.expr(e.arg)
	p.WriteString(byteOrder + " ~ ")
	p.WriteString(quoteLiteral(wholePattern.String()))
	p.WriteString(" THEN ")
	p.expr(e.arg)
	p.WriteString(" END")
}

func (n *likeExprNode) print(p *printer) {
	p.collated(n.text)
	if n.fold {
		p.WriteString(" ILIKE ")
	} else {
		p.WriteString(" LIKE ")
	}
	p.expr(n.pattern)
}

func (n *likeNode) print(p *printer) {
	p.column(n.column)
	p.WriteString(byteOrder)
	if n.match.Fold {
		p.WriteString(" ILIKE ")
	} else {
		p.WriteString(" LIKE ")
	}
	p.constant(value.Constant{Kind: value.Text, Text: n.pattern})
}
