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
func negated(c constant) (constant, error) {
	text := strings.TrimPrefix(c.text, "-")
	if text == c.text && c.text != "0" && c.text != "NaN" {
		text = "-" + text
	}
	return parseConstant(c.k, text)
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
