package predicate

import (
	"bytes"
	"strconv"
)

// decimal is an exact view of a number in text form. It aliases the text and owns nothing, so that comparing a numeric
// column allocates nothing. The value is 0.HEADTAIL × 10^exp; head and tail hold digits only, and together neither
// start nor end with a zero, so that equal values have equal digits.
type decimal struct {
	class      decimalClass
	exp        int
	head, tail []byte
}

// decimalClass orders values before their digits are looked at: -Infinity < negative < zero < positive < Infinity < NaN.
type decimalClass int8

const (
	decNegInf decimalClass = iota - 2
	decNegative
	decZero
	decPositive
	decInf
	decNaN
)

// parseDecimal reads what Postgres prints for integers and numerics: digits with an optional sign and point, NaN,
// Infinity. An exponent is accepted for constants.
func parseDecimal(s []byte, d *decimal) bool {
	*d = decimal{class: decPositive}
	if len(s) == 0 {
		return false
	}
	switch s[0] {
	case 'N':
		d.class = decNaN
		return string(s) == "NaN"
	case '-':
		d.class, s = decNegative, s[1:]
	case '+':
		s = s[1:]
	}
	if len(s) > 0 && s[0] == 'I' {
		d.class *= 2
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

func (d *decimal) setDigits(whole, frac []byte, exp int) {
	whole = trimLeftZeros(whole)
	frac = trimRightZeros(frac)
	d.exp = exp + len(whole)
	if len(whole) == 0 {
		n := len(frac)
		frac = trimLeftZeros(frac)
		d.exp -= n - len(frac)
	}
	if len(frac) == 0 {
		whole = trimRightZeros(whole)
	}
	if len(whole)+len(frac) == 0 {
		d.class, d.exp = decZero, 0
	}
	d.head, d.tail = whole, frac
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
func compareDecimal(a, b *decimal) int {
	if a.class != b.class {
		return sign(int(a.class) - int(b.class))
	}
	switch a.class {
	case decPositive:
		return compareMagnitude(a, b)
	case decNegative:
		return compareMagnitude(b, a)
	default: // zero, the infinities and NaN are one value each
		return 0
	}
}

func compareMagnitude(a, b *decimal) int {
	if a.exp != b.exp {
		return sign(a.exp - b.exp)
	}
	// Compare head+tail with head+tail without joining them: first the part both have in their heads, then the
	// overlap of the longer head with the other's tail, then what is left of both.
	n := min(len(a.head), len(b.head))
	if c := bytes.Compare(a.head[:n], b.head[:n]); c != 0 {
		return c
	}
	ar, br := a.head[n:], b.head[n:]
	if len(ar) > 0 {
		m := min(len(ar), len(b.tail))
		if c := bytes.Compare(ar[:m], b.tail[:m]); c != 0 {
			return c
		}
		if m < len(ar) {
			return 1
		}
		return bytes.Compare(a.tail, b.tail[m:])
	}
	m := min(len(br), len(a.tail))
	if c := bytes.Compare(a.tail[:m], br[:m]); c != 0 {
		return c
	}
	if m < len(br) {
		return -1
	}
	return bytes.Compare(a.tail[m:], b.tail)
}

// digits returns head+tail.
func (d *decimal) digits() string { return string(d.head) + string(d.tail) }

// canonical prints the value so that equal values have equal text: plain where that is short, else with an exponent.
func (d *decimal) canonical() string {
	switch d.class {
	case decNaN:
		return "NaN"
	case decInf:
		return "Infinity"
	case decNegInf:
		return "-Infinity"
	case decZero:
		return "0"
	case decNegative, decPositive: // the classes that have digits
	}
	s := d.digits()
	switch {
	case d.exp > len(s) && d.exp <= 40:
		for len(s) < d.exp {
			s += "0"
		}
	case d.exp > 40 && d.exp > len(s) || d.exp < -20:
		s += "e" + strconv.Itoa(d.exp-len(s))
	case d.exp <= 0:
		for i := d.exp; i < 0; i++ {
			s = "0" + s
		}
		s = "0." + s
	case d.exp < len(s):
		s = s[:d.exp] + "." + s[d.exp:]
	}
	if d.class == decNegative {
		s = "-" + s
	}
	return s
}

// isInteger reports whether the value has no fractional digits.
func (d *decimal) isInteger() bool {
	switch d.class {
	case decZero:
		return true
	case decPositive, decNegative:
		return d.exp >= len(d.head)+len(d.tail)
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
