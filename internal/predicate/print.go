package predicate

import (
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// printer writes the tree as SQL. Compound expressions are always in parentheses, so precedence never matters.
type printer struct {
	strings.Builder

	qualifier string // in front of every column; empty outside of subqueries
	full      bool   // more than maxPrinted bytes, or not what is wanted: the rest is left out
	wanted    string // what is to be printed, to the letter; empty for anything
	matched   int    // bytes of it so far
}

// matches compares what was printed since it was last asked with what is wanted.
func (p *printer) matches() bool {
	if n := p.Len(); p.wanted != "" {
		p.full = p.full || n > len(p.wanted) || p.String()[p.matched:n] != p.wanted[p.matched:n]
		p.matched = n
	}
	return !p.full
}

// expr prints an expression, unless there is too much already: guards repeat what they guard, so that nested ones would
// take exponential time.
func (p *printer) expr(e expr) {
	if p.Len() > maxPrinted || !p.matches() {
		p.full = true
		return
	}
	e.print(p)
}

const byteOrder = ` COLLATE "C"`

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

func (p *printer) column(c column) { p.WriteString(p.qualifier + quoteIdent(c.name)) }

func (p *printer) operator(o operator) {
	p.WriteByte(' ')
	p.WriteString(o.String())
	p.WriteByte(' ')
}

func (p *printer) constant(c value.Constant) {
	switch {
	case c.Null:
		p.WriteString("NULL")
	case c.Kind == value.BitString: // of which a cast to bit would keep the first
		p.WriteString("B" + quoteLiteral(c.Text))
		return
	default:
		p.WriteString(quoteLiteral(c.Text))
	}
	if c.Kind == value.Enum {
		return // takes the type of the other operand
	}
	p.WriteString("::")
	p.WriteString(c.Kind.String())
}

func (p *printer) call(name string, args ...scalar) {
	p.WriteString(name)
	p.WriteByte('(')
	for i, a := range args {
		if i > 0 {
			p.WriteString(", ")
		}
		p.expr(a)
	}
	p.WriteByte(')')
}

// quoteIdent quotes a name for SQL, always, so that the result never depends on the list of keywords.
func quoteIdent(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// quoteLiteral quotes a value for SQL. The E form makes backslashes independent of standard_conforming_strings.
func quoteLiteral(s string) string {
	quoted := `'` + strings.ReplaceAll(s, `'`, `''`) + `'`
	if strings.Contains(s, `\`) {
		quoted = "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
