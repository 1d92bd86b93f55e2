package predicate

import (
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// printer writes the tree as SQL. Compound expressions are always in parentheses, so precedence never matters.
type printer struct {
	strings.Builder

	qualifier string // in front of every column; empty outside of subqueries
	full      bool   // more than maxPrinted bytes: the rest is left out
}

// expr prints an expression, unless there is too much already: guards repeat what they guard, so that nested ones would
// take exponential time.
func (p *printer) expr(e expr) {
	if p.Len() > maxPrinted {
		p.full = true
		return
	}
	e.print(p)
}

const byteOrder = ` COLLATE "C"`

func (n *andNode) print(p *printer) { p.join(n.args, " AND ") }
func (n *orNode) print(p *printer)  { p.join(n.args, " OR ") }

func (p *printer) join(args []node, between string) {
	p.WriteByte('(')
	for i, a := range args {
		if i > 0 {
			p.WriteString(between)
		}
		a.print(p)
	}
	p.WriteByte(')')
}

func (p *printer) enclosed(n node) {
	switch n.(type) {
	case *andNode, *orNode, *literalNode, *boolColumnNode: // enclosed already, or one word
		n.print(p)
	default:
		p.WriteByte('(')
		n.print(p)
		p.WriteByte(')')
	}
}

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

func (n *compareConstNode) print(p *printer) {
	p.column(n.column)
	// Equality keeps the column's own collation where that changes nothing, so that indexes serve it.
	if n.read.Kind.IsText() && (!n.op.isEquality() || n.column.nonDeterministic) {
		p.WriteString(byteOrder)
	}
	p.operator(n.op)
	p.constant(n.c)
}

func (n *compareColumnsNode) print(p *printer) {
	p.column(n.left)
	if n.readLeft.Kind.IsText() {
		p.WriteString(byteOrder) // also for equality: two columns may have different collations
	}
	p.operator(n.op)
	p.column(n.right)
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

func (p *printer) column(c column) { p.WriteString(p.qualifier + quoteIdent(c.name)) }

func (p *printer) operator(o operator) {
	p.WriteByte(' ')
	p.WriteString(o.String())
	p.WriteByte(' ')
}

func (p *printer) constant(c value.Constant) {
	if c.Null {
		p.WriteString("NULL")
	} else {
		p.WriteString(quoteLiteral(c.Text))
	}
	if c.Kind == value.Enum {
		return // takes the type of the other operand
	}
	p.WriteString("::")
	p.WriteString(c.Kind.String())
}
