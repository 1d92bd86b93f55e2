package predicate

import (
	"math/big"
	"strconv"
	"strings"
)

// numberConstant types an unquoted number: integer, bigint or numeric. The grammar is newer than the oldest server, so
// 1_000 and 0xff are understood here and never reach Postgres.
func numberConstant(text string) (constant, error) {
	s := strings.ReplaceAll(text, "_", "")
	unsigned := strings.TrimPrefix(s, "-")
	if len(unsigned) > 2 && unsigned[0] == '0' && strings.ContainsRune("xXoObB", rune(unsigned[1])) {
		n, ok := new(big.Int).SetString(s, 0)
		if !ok {
			return constant{}, badInput(kindNumeric, text)
		}
		s = n.String()
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return intConstant(n), nil
	}
	return parseConstant(kindNumeric, s)
}

// intConstant gives n the type of an integer literal.
func intConstant(n int64) constant {
	k := kindInt8
	if fitsInt(kindInt4, n) {
		k = kindInt4
	}
	return constant{k: k, text: strconv.FormatInt(n, 10)}
}

// negated is unary minus on a constant.
func negated(c constant, pos int) (constant, *Error) {
	text := strings.TrimPrefix(c.text, "-")
	if text == c.text && c.text != "0" && c.text != "NaN" {
		text = "-" + text
	}
	out, err := parseConstant(c.k, text)
	if err != nil {
		return constant{}, inputAt(err, pos, 0)
	}
	return out, nil
}

// integerOf returns the constant's value if it is a whole number in the range of bigint.
func integerOf(c constant) (int64, bool) {
	if c.k == kindNumeric {
		var d decimal
		if !parseDecimal([]byte(c.text), &d) || !d.isInteger() || d.exp > 19 {
			return 0, false
		}
		digits := d.digits()
		digits += strings.Repeat("0", d.exp-len(digits))
		if d.class == decNegative {
			digits = "-" + digits
		}
		if digits == "" {
			digits = "0"
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		return n, err == nil
	}
	n, err := strconv.ParseInt(c.text, 10, 64)
	return n, err == nil
}

// roundedInt is the cast from numeric or float to an integer type: numeric rounds half away from zero, float half to even.
func roundedInt(c constant, k kind) (constant, error) {
	var d decimal
	switch ok := parseDecimal([]byte(c.text), &d); {
	case !ok || d.class == decNaN || d.class == decInf || d.class == decNegInf || d.exp > 19:
		return constant{}, outOfRange(k, c.text)
	case d.exp < 0:
		return constant{k: k, text: "0"}, nil
	}
	r, ok := new(big.Rat).SetString(c.text)
	if c.k.isFloat() { // the text is the shortest that means the value, not the value
		var v value
		if err := c.read(&v, reading{domain: domainFloat}); err != nil {
			return constant{}, err
		}
		r, ok = r.SetFloat64(v.f), true
	}
	if !ok {
		return constant{}, outOfRange(k, c.text)
	}
	twice := new(big.Int).Mul(r.Num(), big.NewInt(2))
	twice.Div(twice, r.Denom())                        // floor(2x)
	half := new(big.Int).Add(twice, big.NewInt(1))     // floor(2x)+1
	n := new(big.Int).Div(half, big.NewInt(2))         // floor(x + 1/2), i.e. half up
	isHalf := r.Denom().Cmp(big.NewInt(2)) == 0        // x is exactly between two integers
	awayFromZero := c.k == kindNumeric && r.Sign() < 0 // half up is towards zero below it
	toEven := c.k.isFloat() && n.Bit(0) == 1           // half up landed on the odd one
	if isHalf && (awayFromZero || toEven) {
		n.Sub(n, big.NewInt(1))
	}
	if !n.IsInt64() || !fitsInt(k, n.Int64()) {
		return constant{}, outOfRange(k, c.text)
	}
	return constant{k: k, text: n.String()}, nil
}
