package predicate

import (
	"bytes"
	"strconv"
)

// operator is a comparison.
type operator uint8

const (
	opEqual operator = iota
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

func operatorOf(name string) (operator, bool) {
	switch name {
	case "=":
		return opEqual, true
	case "<>":
		return opNotEqual, true
	case "<":
		return opLess, true
	case "<=":
		return opLessEqual, true
	case ">":
		return opGreater, true
	case ">=":
		return opGreaterEqual, true
	}
	return 0, false
}

func (o operator) String() string {
	return [...]string{"=", "<>", "<", "<=", ">", ">="}[o]
}

func (o operator) isEquality() bool { return o == opEqual || o == opNotEqual }

// holds tells whether the operator is true of two values that compare as c (< 0, 0, > 0).
func (o operator) holds(c int) bool {
	switch o {
	case opEqual:
		return c == 0
	case opNotEqual:
		return c != 0
	case opLess:
		return c < 0
	case opLessEqual:
		return c <= 0
	case opGreater:
		return c > 0
	default: // opGreaterEqual
		return c >= 0
	}
}

// domain is how two operands are compared, once both are brought to the same representation.
type domain uint8

const (
	domainInt     domain = iota // integers, days, microseconds
	domainFloat                 // NaN equals itself and is above everything, -0 equals 0
	domainDecimal               // numeric, and integers beside it
	domainBytes                 // text and uuid
)

// value is a scalar in the representation of a domain; the bytes of a decimal or text alias the row.
type value struct {
	i int64
	f float64
	b []byte
	d decimal
}

func (d domain) compare(a, b *value) int {
	switch d {
	case domainInt:
		switch {
		case a.i < b.i:
			return -1
		case a.i > b.i:
			return 1
		}
		return 0
	case domainFloat:
		return compareFloat(a.f, b.f)
	case domainDecimal:
		return compareDecimal(&a.d, &b.d)
	default: // domainBytes
		return bytes.Compare(a.b, b.b)
	}
}

func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	case a != a && b != b:
		return 0
	case a != a:
		return 1
	}
	return -1
}

// reading says how the text of kind k becomes a value of a domain.
type reading struct {
	k      kind
	domain domain
	trim   bool // drop trailing blanks: char(n) compared as such, or converted to text
	micros bool // a date beside a timestamp
}

// read parses text. False means that the text is not of the kind, which a row from Postgres never has.
func (r *reading) read(text []byte, v *value) bool {
	switch r.domain {
	case domainBytes:
		if r.trim {
			text = trimBlanks(text)
		}
		v.b = text
		return true
	case domainDecimal:
		return parseDecimal(text, &v.d)
	case domainFloat:
		bits := 64
		if r.k == kindFloat4 {
			bits = 32
		}
		var err error
		v.f, err = strconv.ParseFloat(string(text), bits)
		return err == nil
	default: // domainInt
		var ok bool
		switch r.k {
		case kindDate:
			v.i, ok = dateFromText(text)
			if r.micros {
				v.i = dayToMicros(v.i)
			}
		case kindTimestamp, kindTimestamptz:
			v.i, ok = timestampFromText(text)
		case kindTime:
			v.i, ok = timeFromText(text)
		default:
			v.i, ok = parseInt(text)
		}
		return ok
	}
}

// parseInt is strconv.ParseInt without the conversion to a string.
func parseInt(s []byte) (int64, bool) {
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}

// compareConstNode compares a column with a constant, column first.
type compareConstNode struct {
	op     operator
	column column
	read   reading
	c      constant
	value  value
	// sameText: equality may compare the column's bytes with the constant's text.
	sameText []byte
}

func (n *compareConstNode) eval(row [][]byte) truth {
	text := cell(row, n.column.index)
	if text == nil {
		return isUnknown
	}
	if n.sameText != nil {
		return truthOf(bytes.Equal(text, n.sameText) == (n.op == opEqual))
	}
	var v value
	if !n.read.read(text, &v) {
		return isUnknown
	}
	return truthOf(n.op.holds(n.read.domain.compare(&v, &n.value)))
}

// compareColumnsNode compares two columns.
type compareColumnsNode struct {
	op                  operator
	left, right         column
	readLeft, readRight reading
}

func (n *compareColumnsNode) eval(row [][]byte) truth {
	l, r := cell(row, n.left.index), cell(row, n.right.index)
	if l == nil || r == nil {
		return isUnknown
	}
	var lv, rv value
	if !n.readLeft.read(l, &lv) || !n.readRight.read(r, &rv) {
		return isUnknown
	}
	return truthOf(n.op.holds(n.readLeft.domain.compare(&lv, &rv)))
}

// likeNode is column [I]LIKE pattern; NOT LIKE is a notNode around it.
type likeNode struct {
	column  column
	pattern string
	match   likePattern
	buffers foldBuffers
}

func (n *likeNode) eval(row [][]byte) truth {
	text := cell(row, n.column.index)
	if text == nil {
		return isUnknown
	}
	return truthOf(n.match.match(text, &n.buffers))
}

func (n *compareConstNode) columns(add func(int)) { add(n.column.index) }
func (n *likeNode) columns(add func(int))         { add(n.column.index) }

func (n *compareColumnsNode) columns(add func(int)) {
	add(n.left.index)
	add(n.right.index)
}
