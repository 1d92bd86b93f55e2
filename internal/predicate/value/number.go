package value

import (
	"math/big"
	"strconv"
	"strings"
)

// NumberConstant types an unquoted number: integer, bigint or numeric. The grammar is newer than the oldest server, so
// 1_000 and 0xff are understood here and never reach Postgres.
func NumberConstant(text string) (Constant, error) {
	s := strings.ReplaceAll(text, "_", "")
	unsigned := strings.TrimPrefix(s, "-")
	if len(unsigned) > 2 && unsigned[0] == '0' && strings.ContainsRune("xXoObB", rune(unsigned[1])) {
		n, ok := new(big.Int).SetString(s, 0)
		if !ok {
			return Constant{}, badInput(Numeric, text)
		}
		s = n.String()
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return IntConstant(n), nil
	}
	return ParseConstant(Numeric, s)
}

// IntConstant gives n the type of an integer literal.
func IntConstant(n int64) Constant {
	k := Int8
	if FitsInt(Int4, n) {
		k = Int4
	}
	return Constant{Kind: k, Text: strconv.FormatInt(n, 10)}
}

// Negated is unary minus on a constant.
func Negated(c Constant) (Constant, error) {
	text := strings.TrimPrefix(c.Text, "-")
	if text == c.Text && c.Text != "0" && c.Text != "NaN" {
		text = "-" + text
	}
	return ParseConstant(c.Kind, text)
}

// IntegerOf returns the constant's value if it is a whole number in the range of bigint.
func IntegerOf(c Constant) (int64, bool) {
	if c.Kind == Numeric {
		var d Decimal
		if !ParseDecimal([]byte(c.Text), &d) || !d.isInteger() || d.Exp > 19 {
			return 0, false
		}
		digits := d.digits()
		digits += strings.Repeat("0", d.Exp-len(digits))
		if d.Class == Negative {
			digits = "-" + digits
		}
		if digits == "" {
			digits = "0"
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		return n, err == nil
	}
	n, err := strconv.ParseInt(c.Text, 10, 64)
	return n, err == nil
}
