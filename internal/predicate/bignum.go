package predicate

import (
	"bytes"
	"math/big"
	"strings"
)

// bignum is a numeric to compute with: n / 10^scale, where scale is how many digits Postgres prints after the point.
type bignum struct {
	class decimalClass // decPositive stands for every finite value, also for zero and negative ones
	n     *big.Int
	scale int
}

func trimSpace(s string) string { return strings.Trim(s, space) }

// parseBignum reads a numeric in text form. Only decNaN, decInf and decNegInf are told apart from finite values.
func parseBignum(text []byte) bignum {
	var d decimal
	if !parseDecimal(text, &d) {
		return bignum{class: decNaN}
	}
	switch d.class {
	case decNaN, decInf, decNegInf:
		return bignum{class: d.class}
	default: // finite
	}
	plain := plainNumeric(text)
	scale := 0
	if i := bytes.IndexByte(plain, '.'); i >= 0 {
		scale = len(plain) - i - 1
		plain = append(plain[:i:i], plain[i+1:]...)
	}
	n, ok := new(big.Int).SetString(string(plain), 10)
	if !ok {
		return bignum{class: decNaN}
	}
	return bignum{decPositive, n, scale}
}

// plainNumeric writes a number as numeric_out does: without exponent, plus sign and leading zeros.
func plainNumeric(text []byte) []byte {
	i := bytes.IndexAny(text, "eE")
	if i < 0 && len(text) > 0 && text[0] != '+' && text[0] != '.' && text[len(text)-1] != '.' && !bytes.HasPrefix(text, []byte("-.")) &&
		!bytes.HasPrefix(text, []byte("0")) && !bytes.HasPrefix(text, []byte("-0")) {
		return text
	}
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return text
	}
	negative, mantissa, exp := false, text, 0
	if i >= 0 {
		exp, mantissa = atoi(text[i+1:]), text[:i]
	}
	if mantissa[0] == '-' || mantissa[0] == '+' {
		negative, mantissa = mantissa[0] == '-', mantissa[1:]
	}
	whole, frac, _ := bytes.Cut(mantissa, []byte("."))
	digits := append(append([]byte{}, whole...), frac...)
	scale := len(frac) - exp
	for ; scale < 0; scale++ {
		digits = append(digits, '0')
	}
	n, ok := new(big.Int).SetString(string(digits), 10)
	if !ok {
		return text
	}
	if negative {
		n.Neg(n)
	}
	return bignum{decPositive, n, scale}.text()
}

func atoi(s []byte) int {
	n, negative := 0, false
	for _, c := range s {
		switch {
		case c == '-':
			negative = true
		case c >= '0' && c <= '9' && n < 1<<20:
			n = n*10 + int(c-'0')
		}
	}
	if negative {
		return -n
	}
	return n
}

func (x bignum) text() []byte {
	switch x.class {
	case decNaN:
		return []byte("NaN")
	case decInf:
		return []byte("Infinity")
	case decNegInf:
		return []byte("-Infinity")
	default: // finite
	}
	digits := new(big.Int).Abs(x.n).String()
	if n := x.scale + 1 - len(digits); n > 0 {
		digits = strings.Repeat("0", n) + digits
	}
	var out []byte
	if x.n.Sign() < 0 {
		out = append(out, '-')
	}
	whole := len(digits) - x.scale
	out = append(out, digits[:whole]...)
	if x.scale > 0 {
		out = append(append(out, '.'), digits[whole:]...)
	}
	return out
}

// sign is that of a value which is not NaN.
func (x bignum) sign() int {
	switch x.class {
	case decInf:
		return 1
	case decNegInf:
		return -1
	default: // finite
		return x.n.Sign()
	}
}

func (x bignum) finite() bool { return x.class == decPositive }

func infinityOf(sign int) bignum {
	switch {
	case sign > 0:
		return bignum{class: decInf}
	case sign < 0:
		return bignum{class: decNegInf}
	}
	return bignum{class: decNaN}
}

func tenTo(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// aligned returns both numbers with the larger scale.
func aligned(x, y bignum) (a, b *big.Int, scale int) {
	a, b, scale = x.n, y.n, x.scale
	switch {
	case x.scale < y.scale:
		a, scale = new(big.Int).Mul(a, tenTo(y.scale-x.scale)), y.scale
	case y.scale < x.scale:
		b = new(big.Int).Mul(b, tenTo(x.scale-y.scale))
	}
	return a, b, scale
}

// arithmetic computes x op y; the divisor is not zero.
func (x bignum) arithmetic(op byte, y bignum) bignum {
	if x.class == decNaN || y.class == decNaN {
		return bignum{class: decNaN}
	}
	if !x.finite() || !y.finite() {
		return x.specialArithmetic(op, y)
	}
	switch op {
	case '*':
		return bignum{decPositive, new(big.Int).Mul(x.n, y.n), x.scale + y.scale}.rounded(numericScale)
	case '/':
		return x.quotient(y)
	}
	a, b, scale := aligned(x, y)
	n := new(big.Int)
	switch op {
	case '+':
		n.Add(a, b)
	case '-':
		n.Sub(a, b)
	case '%':
		n.Rem(a, b)
	default: // 'd': div()
		n.Quo(a, b)
		scale = 0
	}
	return bignum{decPositive, n, scale}
}

func (x bignum) specialArithmetic(op byte, y bignum) bignum {
	switch op {
	case '+', '-':
		if op == '-' {
			y = y.negated()
		}
		switch {
		case x.finite():
			return y
		case y.finite() || x.class == y.class:
			return x
		}
		return bignum{class: decNaN}
	case '*':
		return infinityOf(x.sign() * y.sign())
	case '%':
		if x.finite() {
			return x
		}
		return bignum{class: decNaN}
	}
	switch {
	case !x.finite() && !y.finite():
		return bignum{class: decNaN}
	case x.finite():
		return bignum{decPositive, new(big.Int), 0}
	}
	return infinityOf(x.sign() * y.sign())
}

func (x bignum) negated() bignum {
	if !x.finite() {
		x.class = -x.class
		if x.class == -decNaN {
			x.class = decNaN
		}
		return x
	}
	return bignum{decPositive, new(big.Int).Neg(x.n), x.scale}
}

// rounded cuts the scale, half away from zero.
func (x bignum) rounded(scale int) bignum {
	if x.scale <= scale {
		return x
	}
	return bignum{decPositive, divideRounded(x.n, tenTo(x.scale-scale)), scale}
}

func divideRounded(n, d *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(n, d, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(d) >= 0 {
		q.Add(q, big.NewInt(int64(n.Sign()*d.Sign())))
	}
	return q
}

// quotient divides with the scale that Postgres chooses: sixteen significant digits, or the scale of an operand.
func (x bignum) quotient(y bignum) bignum {
	const significant, most = 16, 1000
	weightX, firstX := x.firstDigit()
	weightY, firstY := y.firstDigit()
	weight := weightX - weightY
	if firstX <= firstY {
		weight--
	}
	scale := min(max(significant-4*weight, x.scale, y.scale, 0), most)
	// x.n/10^x.scale ÷ y.n/10^y.scale = x.n × 10^(y.scale-x.scale) / y.n
	n, d := new(big.Int).Set(x.n), new(big.Int).Set(y.n)
	if shift := scale + y.scale - x.scale; shift >= 0 {
		n.Mul(n, tenTo(shift))
	} else {
		d.Mul(d, tenTo(-shift))
	}
	return bignum{decPositive, divideRounded(n, d), scale}
}

// firstDigit returns the first digit in base 10000 and its place.
func (x bignum) firstDigit() (weight, digit int) {
	if x.n.Sign() == 0 {
		return 0, 0
	}
	digits := new(big.Int).Abs(x.n).String()
	top := len(digits) - x.scale - 1 // place of the first decimal digit
	weight = top / 4
	if top < 0 {
		weight = (top - 3) / 4
	}
	n := top - 4*weight + 1
	for len(digits) < n {
		digits += "0"
	}
	return weight, atoi([]byte(digits[:n]))
}

// roundedNumeric rounds half away from zero what lies between low and high.
func roundedNumeric(text []byte, low, high int64) (int64, bool) {
	x := parseBignum(text)
	if !x.finite() {
		return 0, false
	}
	limit := tenTo(x.scale)
	if x.n.Cmp(new(big.Int).Mul(big.NewInt(low), limit)) < 0 || x.n.Cmp(new(big.Int).Mul(big.NewInt(high), limit)) > 0 {
		return 0, false
	}
	return x.rounded(0).n.Int64(), true
}
