package predicate

import (
	"strconv"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// comparisonPlan says how both sides of a comparison are read. It is where Postgres' operator resolution lives.
type comparisonPlan struct {
	domain      value.Domain
	left, right value.Reading
}

// planComparison returns the plan for two typed operands; ok is false if Postgres has no such operator, or one whose
// result depends on the session's time zone.
func planComparison(l, r value.Kind) (p comparisonPlan, ok bool) {
	p.left.Kind, p.right.Kind = l, r
	switch {
	case l.IsInt() && r.IsInt():
		p.domain = value.DomainInt
	case l.IsNumber() && r.IsNumber():
		p.domain = value.DomainDecimal
		if l.IsFloat() || r.IsFloat() {
			p.domain = value.DomainFloat
		}
	case l.IsText() && r.IsText():
		p.domain = value.DomainBytes
		// char(n) ignores trailing blanks against char(n), varchar and untyped literals; against text it is
		// converted to text, which drops its own blanks only.
		padded := l == value.Bpchar || r == value.Bpchar
		asText := l == value.Text || r == value.Text
		p.left.Trim = padded && (!asText || l == value.Bpchar)
		p.right.Trim = padded && (!asText || r == value.Bpchar)
	case l == value.Time && r == value.Time:
		p.domain = value.DomainInt
	case l.IsTime() && r.IsTime() && (l == value.Timestamptz) == (r == value.Timestamptz):
		p.domain = value.DomainInt
		p.left.Micros, p.right.Micros = l != r, l != r
	default:
		if p.domain, ok = value.ComparesAs(l, r); !ok {
			return p, false
		}
	}
	p.left.Domain, p.right.Domain = p.domain, p.domain
	return p, true
}

// compareConst builds column op constant. cr is how the constant is read.
func compareConst(op operator, c column, r, cr value.Reading, t term) (*compareConstNode, *Error) {
	n := &compareConstNode{op: op, column: c, read: r, value: &value.Operand{}}
	var err error
	if n.c, err = normalConstant(c.k, &n.read, cr, t.c); err == nil {
		err = n.c.Read(n.value, value.Reading{Kind: n.c.Kind, Domain: n.read.Domain, Trim: cr.Trim, Micros: cr.Micros})
	}
	if err != nil {
		return nil, inputAt(err, t.pos, t.param)
	}
	if op.isEquality() && comparesBytes(c.k, n.read, n.c) {
		n.byText, n.value = true, nil
	}
	return n, nil
}

// comparesBytes tells whether equality of column and constant is equality of their texts.
func comparesBytes(column value.Kind, r value.Reading, c value.Constant) bool {
	if r.Trim || !column.HasUniqueText() || !c.Kind.HasUniqueText() {
		return false
	}
	return column.IsInt() && c.Kind.IsInt() || column.IsText() && c.Kind.IsText() || column == c.Kind
}

// normalConstant writes the constant in one way for all spellings that compare alike, so that they print, and are
// identified, alike. It may move the comparison of an integer column from numeric to integer.
func normalConstant(column value.Kind, r *value.Reading, cr value.Reading, c value.Constant) (value.Constant, error) {
	switch r.Domain {
	case value.DomainDecimal:
		if n, whole := value.IntegerOf(c); whole && column.IsInt() {
			r.Domain = value.DomainInt
			return fittingInt(column, n), nil
		}
		return value.ParseConstant(value.Numeric, c.Text)
	case value.DomainInt:
		if column.IsInt() {
			n, err := strconv.ParseInt(c.Text, 10, 64)
			return fittingInt(column, n), err
		}
	case value.DomainFloat:
		return normalFloat(column, c)
	case value.DomainBytes:
		if cr.Trim {
			c.Text = string(value.TrimBlanks([]byte(c.Text)))
		}
		switch {
		case c.Kind == value.Cidr:
			return value.CastConstant(c, value.Inet)
		case !c.Kind.IsText():
		case r.Trim && cr.Trim:
			c.Kind = value.Bpchar // both sides trimmed: compared as char(n)
		default:
			c.Kind = value.Text
		}
	}
	return c, nil
}

// fittingInt gives n the column's type, or a wider one if it does not fit.
func fittingInt(column value.Kind, n int64) value.Constant {
	c := value.IntConstant(n)
	if value.FitsInt(column, n) {
		c.Kind = column
	}
	return c
}

// normalFloat makes a constant float8, or float4 beside a float4 column if that loses nothing.
func normalFloat(column value.Kind, c value.Constant) (value.Constant, error) {
	if !c.Kind.IsFloat() {
		out, err := value.ParseConstant(value.Float8, c.Text)
		if err != nil {
			return value.Constant{}, err
		}
		c = out
	}
	bits := value.FloatBits(c.Kind)
	f, err := strconv.ParseFloat(c.Text, bits)
	if err != nil {
		return value.Constant{}, value.OutOfRange(c.Kind, c.Text)
	}
	k := value.Float8
	if column == value.Float4 && (float64(float32(f)) == f || f != f) {
		k = value.Float4
	}
	return value.Constant{Kind: k, Text: value.FormatFloat(k, f)}, nil
}
