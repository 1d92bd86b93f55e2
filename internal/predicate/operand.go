package predicate

import (
	"bytes"
	"strconv"
)

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

// read brings a constant to a domain.
func (c constant) read(v *value, r reading) error {
	r.k = c.k
	if !r.read([]byte(c.text), v) {
		return outOfRange(c.k, c.text)
	}
	return nil
}
