package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

func (n *inNode) print(p *printer) {
	p.column(n.column)
	if n.read.Kind.IsText() && n.column.nonDeterministic {
		p.WriteString(byteOrder)
	}
	p.WriteString(" IN (")
	for i, item := range n.items {
		if i > 0 {
			p.WriteString(", ")
		}
		p.constant(item)
	}
	if n.hasNull {
		p.WriteString(", ")
		p.constant(value.Constant{Kind: n.items[0].Kind, Null: true})
	}
	p.WriteByte(')')
}

func (n *inExprNode) print(p *printer) {
	p.collated(n.left)
	p.WriteString(" IN (")
	for i, m := range n.members {
		if i > 0 {
			p.WriteString(", ")
		}
		p.expr(m)
	}
	if n.hasNull {
		p.WriteString(", NULL")
		if n.left.k != value.Enum {
			p.WriteString("::" + n.left.k.String())
		}
	}
	p.WriteByte(')')
}
