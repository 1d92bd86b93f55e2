package value

import (
	"bytes"
	"math/big"
	"strings"
)

// Bignum is a numeric to compute with: n / 10^scale, where scale is how many digits Postgres prints after the point.
type Bignum struct {
	Class Class // Positive stands for every finite value, also for zero and negative ones
	n     *big.Int
	scale int
}

// ParseBignum reads a numeric in text form. Only NaN, Inf and NegInf are told apart from finite values.
func ParseBignum(text []byte) Bignum {
	var d Decimal
	if !ParseDecimal(text, &d) {
		return Bignum{Class: NaN}
	}
	switch d.Class {
	case NaN, Inf, NegInf:
		return Bignum{Class: d.Class}
	default: // finite
	}
	plain := PlainNumeric(text)
	scale := 0
	if i := bytes.IndexByte(plain, '.'); i >= 0 {
		scale = len(plain) - i - 1
		plain = append(plain[:i:i], plain[i+1:]...)
	}
	n, ok := new(big.Int).SetString(string(plain), 10)
	if !ok {
		return Bignum{Class: NaN}
	}
	return Bignum{Positive, n, scale}
}

// PlainNumeric writes a number as numeric_out does: without exponent, plus sign and leading zeros.
func PlainNumeric(text []byte) []byte {
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
	return Bignum{Positive, n, scale}.Text()
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

// Text prints as numeric_out does.
func (x Bignum) Text() []byte {
	switch x.Class {
	case NaN:
		return []byte("NaN")
	case Inf:
		return []byte("Infinity")
	case NegInf:
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

// Sign is that of a value which is not NaN.
func (x Bignum) Sign() int {
	switch x.Class {
	case Inf:
		return 1
	case NegInf:
		return -1
	default: // finite
		return x.n.Sign()
	}
}

func (x Bignum) finite() bool { return x.Class == Positive }

func infinityOf(sign int) Bignum {
	switch {
	case sign > 0:
		return Bignum{Class: Inf}
	case sign < 0:
		return Bignum{Class: NegInf}
	}
	return Bignum{Class: NaN}
}

func tenTo(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// aligned returns both numbers with the larger scale.
func aligned(x, y Bignum) (a, b *big.Int, scale int) {
	a, b, scale = x.n, y.n, x.scale
	switch {
	case x.scale < y.scale:
		a, scale = new(big.Int).Mul(a, tenTo(y.scale-x.scale)), y.scale
	case y.scale < x.scale:
		b = new(big.Int).Mul(b, tenTo(x.scale-y.scale))
	}
	return a, b, scale
}

// Arithmetic computes x op y; the divisor is not zero.
func (x Bignum) Arithmetic(op byte, y Bignum) Bignum {
	if x.Class == NaN || y.Class == NaN {
		return Bignum{Class: NaN}
	}
	if !x.finite() || !y.finite() {
		return x.specialArithmetic(op, y)
	}
	switch op {
	case '*':
		return Bignum{Positive, new(big.Int).Mul(x.n, y.n), x.scale + y.scale}.rounded(NumericScale)
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
	return Bignum{Positive, n, scale}
}

func (x Bignum) specialArithmetic(op byte, y Bignum) Bignum {
	switch op {
	case '+', '-':
		if op == '-' {
			y = y.Negated()
		}
		switch {
		case x.finite():
			return y
		case y.finite() || x.Class == y.Class:
			return x
		}
		return Bignum{Class: NaN}
	case '*':
		return infinityOf(x.Sign() * y.Sign())
	case '%':
		if x.finite() {
			return x
		}
		return Bignum{Class: NaN}
	}
	switch {
	case !x.finite() && !y.finite():
		return Bignum{Class: NaN}
	case x.finite():
		return Bignum{Positive, new(big.Int), 0}
	}
	return infinityOf(x.Sign() * y.Sign())
}

// Negated is -x.
func (x Bignum) Negated() Bignum {
	if !x.finite() {
		x.Class = -x.Class
		if x.Class == -NaN {
			x.Class = NaN
		}
		return x
	}
	return Bignum{Positive, new(big.Int).Neg(x.n), x.scale}
}

// rounded cuts the scale, half away from zero.
func (x Bignum) rounded(scale int) Bignum {
	if x.scale <= scale {
		return x
	}
	return Bignum{Positive, divideRounded(x.n, tenTo(x.scale-scale)), scale}
}

func divideRounded(n, d *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(n, d, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(d) >= 0 {
		q.Add(q, big.NewInt(int64(n.Sign()*d.Sign())))
	}
	return q
}

// quotient divides with the scale that Postgres chooses: sixteen significant digits, or the scale of an operand.
func (x Bignum) quotient(y Bignum) Bignum {
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
	return Bignum{Positive, divideRounded(n, d), scale}
}

// firstDigit returns the first digit in base 10000 and its place.
func (x Bignum) firstDigit() (weight, digit int) {
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

// RoundedNumeric rounds half away from zero what lies between low and high.
func RoundedNumeric(text []byte, low, high int64) (int64, bool) {
	x := ParseBignum(text)
	if !x.finite() {
		return 0, false
	}
	limit := tenTo(x.scale)
	if x.n.Cmp(new(big.Int).Mul(big.NewInt(low), limit)) < 0 || x.n.Cmp(new(big.Int).Mul(big.NewInt(high), limit)) > 0 {
		return 0, false
	}
	return x.rounded(0).n.Int64(), true
}
