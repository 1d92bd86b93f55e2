package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

func (n *regexNode) print(p *printer) {
	p.collated(n.text)
	if n.fold {
		p.WriteString(" ~* ")
	} else {
		p.WriteString(" ~ ")
	}
	p.constant(value.Constant{Kind: value.Text, Text: n.pattern})
}
