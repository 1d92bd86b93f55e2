package value

import (
	"bytes"
	"strconv"
)

// Domain is how two operands are compared, once both are brought to the same representation.
type Domain uint8

// The domains.
const (
	DomainInt     Domain = iota // integers, days, microseconds
	DomainFloat                 // NaN equals itself and is above everything, -0 equals 0
	DomainDecimal               // numeric, and integers beside it
	DomainBytes                 // text and uuid
)

// Operand is a scalar in the representation of a domain; the bytes of a decimal or text alias the row.
type Operand struct {
	Int     int64
	Float   float64
	Bytes   []byte
	Decimal Decimal
}

// Compare orders two operands of the domain.
func (d Domain) Compare(a, b *Operand) int {
	switch d {
	case DomainInt:
		switch {
		case a.Int < b.Int:
			return -1
		case a.Int > b.Int:
			return 1
		}
		return 0
	case DomainFloat:
		return compareFloat(a.Float, b.Float)
	case DomainDecimal:
		return compareDecimal(&a.Decimal, &b.Decimal)
	default: // DomainBytes
		return bytes.Compare(a.Bytes, b.Bytes)
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

// Reading says how the text of kind k becomes a value of a domain.
type Reading struct {
	Kind   Kind
	Domain Domain
	Trim   bool // drop trailing blanks: char(n) compared as such, or converted to text
	Micros bool // a date beside a timestamp
}

// Read parses text. False means that the text is not of the kind, which a row from Postgres never has.
func (r *Reading) Read(text []byte, v *Operand) bool {
	switch r.Domain {
	case DomainBytes:
		if r.Trim {
			text = TrimBlanks(text)
		}
		if r.Kind == Cidr {
			text = hostText(text)
		}
		v.Bytes = text
		return true
	case DomainDecimal:
		return ParseDecimal(text, &v.Decimal)
	case DomainFloat:
		bits := 64
		if r.Kind == Float4 {
			bits = 32
		}
		var err error
		v.Float, err = strconv.ParseFloat(string(text), bits)
		return err == nil
	default: // DomainInt
		var ok bool
		switch r.Kind {
		case Date:
			v.Int, ok = dateFromText(text)
			if r.Micros {
				v.Int = dayToMicros(v.Int)
			}
		case Timestamp, Timestamptz:
			v.Int, ok = timestampFromText(text)
		case Time:
			v.Int, ok = timeFromText(text)
		default:
			v.Int, ok = parseInt(text)
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

// Read brings a constant to a domain.
func (c Constant) Read(v *Operand, r Reading) error {
	r.Kind = c.Kind
	if !r.Read([]byte(c.Text), v) {
		return OutOfRange(c.Kind, c.Text)
	}
	return nil
}
