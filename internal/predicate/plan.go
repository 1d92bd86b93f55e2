package predicate

import "strconv"

// comparisonPlan says how both sides of a comparison are read. It is where Postgres' operator resolution lives.
type comparisonPlan struct {
	domain      domain
	left, right reading
}

// planComparison returns the plan for two typed operands; ok is false if Postgres has no such operator, or one whose
// result depends on the session's time zone.
func planComparison(l, r kind) (p comparisonPlan, ok bool) {
	p.left.k, p.right.k = l, r
	switch {
	case l.isInt() && r.isInt():
		p.domain = domainInt
	case l.isNumber() && r.isNumber():
		p.domain = domainDecimal
		if l.isFloat() || r.isFloat() {
			p.domain = domainFloat
		}
	case l.isText() && r.isText():
		p.domain = domainBytes
		// char(n) ignores trailing blanks against char(n), varchar and untyped literals; against text it is
		// converted to text, which drops its own blanks only.
		padded := l == kindBpchar || r == kindBpchar
		asText := l == kindText || r == kindText
		p.left.trim = padded && (!asText || l == kindBpchar)
		p.right.trim = padded && (!asText || r == kindBpchar)
	case l == kindUUID && r == kindUUID, l == kindEnum && r == kindEnum:
		p.domain = domainBytes
	case l == kindTime && r == kindTime:
		p.domain = domainInt
	case l.isTime() && r.isTime() && (l == kindTimestamptz) == (r == kindTimestamptz):
		p.domain = domainInt
		p.left.micros, p.right.micros = l != r, l != r
	default:
		return p, false
	}
	p.left.domain, p.right.domain = p.domain, p.domain
	return p, true
}

// compareConst builds column op constant. cr is how the constant is read.
func compareConst(op operator, c column, r, cr reading, t term) (*compareConstNode, *Error) {
	n := &compareConstNode{op: op, column: c, read: r}
	var err error
	if n.c, err = normalConstant(c.k, &n.read, cr, t.c); err == nil {
		err = n.c.read(&n.value, reading{k: n.c.k, domain: n.read.domain, trim: cr.trim, micros: cr.micros})
	}
	if err != nil {
		return nil, inputAt(err, t.pos, t.param)
	}
	if op.isEquality() && comparesBytes(c.k, n.read, n.c) {
		n.sameText = []byte(n.c.text)
	}
	return n, nil
}

// comparesBytes tells whether equality of column and constant is equality of their texts.
func comparesBytes(column kind, r reading, c constant) bool {
	if r.trim || !column.hasUniqueText() || !c.k.hasUniqueText() {
		return false
	}
	return column.isInt() && c.k.isInt() || column.isText() && c.k.isText() || column == c.k
}

// normalConstant writes the constant in one way for all spellings that compare alike, so that they print, and are
// identified, alike. It may move the comparison of an integer column from numeric to integer.
func normalConstant(column kind, r *reading, cr reading, c constant) (constant, error) {
	switch r.domain {
	case domainDecimal:
		if n, whole := integerOf(c); whole && column.isInt() {
			r.domain = domainInt
			return fittingInt(column, n), nil
		}
		return parseConstant(kindNumeric, c.text)
	case domainInt:
		if column.isInt() {
			n, err := strconv.ParseInt(c.text, 10, 64)
			return fittingInt(column, n), err
		}
	case domainFloat:
		return normalFloat(column, c)
	case domainBytes:
		if cr.trim {
			c.text = string(trimBlanks([]byte(c.text)))
		}
		switch {
		case !c.k.isText():
		case r.trim && cr.trim:
			c.k = kindBpchar // both sides trimmed: compared as char(n)
		default:
			c.k = kindText
		}
	}
	return c, nil
}

// fittingInt gives n the column's type, or a wider one if it does not fit.
func fittingInt(column kind, n int64) constant {
	c := intConstant(n)
	if fitsInt(column, n) {
		c.k = column
	}
	return c
}

// normalFloat makes a constant float8, or float4 beside a float4 column if that loses nothing.
func normalFloat(column kind, c constant) (constant, error) {
	if !c.k.isFloat() {
		out, err := parseConstant(kindFloat8, c.text)
		if err != nil {
			return constant{}, err
		}
		c = out
	}
	bits := floatBits(c.k)
	f, err := strconv.ParseFloat(c.text, bits)
	if err != nil {
		return constant{}, outOfRange(c.k, c.text)
	}
	k := kindFloat8
	if column == kindFloat4 && (float64(float32(f)) == f || f != f) {
		k = kindFloat4
	}
	return constant{k: k, text: formatFloat(k, f)}, nil
}
