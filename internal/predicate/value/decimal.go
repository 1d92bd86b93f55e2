package value

import (
	"bytes"
	"strconv"
)

// Decimal is an exact view of a number in text form. It aliases the text and owns nothing, so that comparing a numeric
// column allocates nothing. The value is 0.HEADTAIL × 10^exp; head and tail hold digits only, and together neither
// start nor end with a zero, so that equal values have equal digits.
type Decimal struct {
	Class      Class
	Exp        int
	Head, Tail []byte
}

// Class orders values before their digits are looked at: -Infinity < negative < zero < positive < Infinity < NaN.
type Class int8

// The classes of decimals.
const (
	NegInf Class = iota - 2
	Negative
	Zero
	Positive
	Inf
	NaN
)

// ParseDecimal reads what Postgres prints for integers and numerics: digits with an optional sign and point, NaN,
// Infinity. An exponent is accepted for constants.
func ParseDecimal(s []byte, d *Decimal) bool {
	*d = Decimal{Class: Positive}
	if len(s) == 0 {
		return false
	}
	switch s[0] {
	case 'N':
		d.Class = NaN
		return string(s) == "NaN"
	case '-':
		d.Class, s = Negative, s[1:]
	case '+':
		s = s[1:]
	}
	if len(s) > 0 && s[0] == 'I' {
		d.Class *= 2
		return string(s) == "Infinity"
	}
	exp := 0
	if i := bytes.IndexAny(s, "eE"); i >= 0 {
		var err error
		if exp, err = strconv.Atoi(string(s[i+1:])); err != nil || exp > 1<<30 || exp < -(1<<30) {
			return false
		}
		s = s[:i]
	}
	whole, frac := s, []byte(nil)
	if i := bytes.IndexByte(s, '.'); i >= 0 {
		whole, frac = s[:i], s[i+1:]
	}
	if len(whole)+len(frac) == 0 || !allDigits(whole) || !allDigits(frac) {
		return false
	}
	d.setDigits(whole, frac, exp)
	return true
}

func (d *Decimal) setDigits(whole, frac []byte, exp int) {
	whole = trimLeftZeros(whole)
	frac = trimRightZeros(frac)
	d.Exp = exp + len(whole)
	if len(whole) == 0 {
		n := len(frac)
		frac = trimLeftZeros(frac)
		d.Exp -= n - len(frac)
	}
	if len(frac) == 0 {
		whole = trimRightZeros(whole)
	}
	if len(whole)+len(frac) == 0 {
		d.Class, d.Exp = Zero, 0
	}
	d.Head, d.Tail = whole, frac
}

func trimLeftZeros(s []byte) []byte {
	for len(s) > 0 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

func trimRightZeros(s []byte) []byte {
	for len(s) > 0 && s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	return s
}

func allDigits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// compareDecimal orders as numeric does: NaN equals NaN and is above everything.
func compareDecimal(a, b *Decimal) int {
	if a.Class != b.Class {
		return sign(int(a.Class) - int(b.Class))
	}
	switch a.Class {
	case Positive:
		return compareMagnitude(a, b)
	case Negative:
		return compareMagnitude(b, a)
	default: // zero, the infinities and NaN are one value each
		return 0
	}
}

func compareMagnitude(a, b *Decimal) int {
	if a.Exp != b.Exp {
		return sign(a.Exp - b.Exp)
	}
	// Compare head+tail with head+tail without joining them: first the part both have in their heads, then the
	// overlap of the longer head with the other's tail, then what is left of both.
	n := min(len(a.Head), len(b.Head))
	if c := bytes.Compare(a.Head[:n], b.Head[:n]); c != 0 {
		return c
	}
	ar, br := a.Head[n:], b.Head[n:]
	if len(ar) > 0 {
		m := min(len(ar), len(b.Tail))
		if c := bytes.Compare(ar[:m], b.Tail[:m]); c != 0 {
			return c
		}
		if m < len(ar) {
			return 1
		}
		return bytes.Compare(a.Tail, b.Tail[m:])
	}
	m := min(len(br), len(a.Tail))
	if c := bytes.Compare(a.Tail[:m], br[:m]); c != 0 {
		return c
	}
	if m < len(br) {
		return -1
	}
	return bytes.Compare(a.Tail[m:], b.Tail)
}

// digits returns head+tail.
func (d *Decimal) digits() string { return string(d.Head) + string(d.Tail) }

// canonical prints the value so that equal values have equal text: plain where that is short, else with an exponent.
func (d *Decimal) canonical() string {
	switch d.Class {
	case NaN:
		return "NaN"
	case Inf:
		return "Infinity"
	case NegInf:
		return "-Infinity"
	case Zero:
		return "0"
	case Negative, Positive: // the classes that have digits
	}
	s := d.digits()
	switch {
	case d.Exp > len(s) && d.Exp <= 40:
		for len(s) < d.Exp {
			s += "0"
		}
	case d.Exp > 40 && d.Exp > len(s) || d.Exp < -20:
		s += "e" + strconv.Itoa(d.Exp-len(s))
	case d.Exp <= 0:
		for i := d.Exp; i < 0; i++ {
			s = "0" + s
		}
		s = "0." + s
	case d.Exp < len(s):
		s = s[:d.Exp] + "." + s[d.Exp:]
	}
	if d.Class == Negative {
		s = "-" + s
	}
	return s
}

// isInteger reports whether the value has no fractional digits.
func (d *Decimal) isInteger() bool {
	switch d.Class {
	case Zero:
		return true
	case Positive, Negative:
		return d.Exp >= len(d.Head)+len(d.Tail)
	default: // the infinities and NaN
		return false
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
