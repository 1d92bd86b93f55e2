package predicate

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// castConstant converts between typed constants: among numbers, and from anything to text and back.
func castConstant(c constant, k kind) (constant, error) {
	switch {
	case c.k == k:
		return c, nil
	case c.k.isNumber() && k.isInt():
		if c.k.isInt() {
			return parseConstant(k, c.text)
		}
		return roundedInt(c, k)
	case c.k.isFloat() && k.isNumber():
		return castFloat(c, k)
	case c.k.isNumber() && k.isNumber(), c.k.isText() && !k.isText():
		return parseConstant(k, c.text)
	case c.k.isText():
		if c.k == kindBpchar {
			c.text = strings.TrimRight(c.text, " ")
		}
		c.k = k
		return c, nil
	case k.isText() && (c.k.isInt() || c.k == kindUUID):
		c.k = k
		return c, nil
	case c.k == kindDate && k == kindTimestamp:
		return dateAsTimestamp(c)
	case c.k == kindBool && k.isText():
		return constant{k: k, text: map[string]string{"t": "true", "f": "false"}[c.text]}, nil
	}
	return constant{}, &inputError{
		message: fmt.Sprintf("cannot cast type %s to %s", c.k, k), hint: "write the constant in quotes: '…'::" + k.String(),
	}
}

func dateAsTimestamp(c constant) (constant, error) {
	days, _ := dateFromText([]byte(c.text))
	switch {
	case days == infinity || days == minusInfinity:
		return constant{k: kindTimestamp, text: c.text}, nil
	case days >= endMicrosInDay:
		return constant{}, outOfRange(kindTimestamp, c.text)
	}
	return constant{k: kindTimestamp, text: timestampText(dayToMicros(days), "")}, nil
}

// castFloat works on the binary value, not on its decimal text. To numeric only the digits that any float of the kind
// keeps survive, as in Postgres.
func castFloat(c constant, k kind) (constant, error) {
	var v value
	if err := c.read(&v, reading{k: c.k, domain: domainFloat}); err != nil {
		return constant{}, err
	}
	switch {
	case k == kindNumeric && c.k == kindFloat4:
		return parseConstant(k, strconv.FormatFloat(v.f, 'g', 6, 64))
	case k == kindNumeric:
		return parseConstant(k, strconv.FormatFloat(v.f, 'g', 15, 64))
	case k == kindFloat4:
		narrow := float64(float32(v.f))
		if math.IsInf(narrow, 0) && !math.IsInf(v.f, 0) || narrow == 0 && v.f != 0 {
			return constant{}, outOfRange(k, c.text)
		}
		return constant{k: k, text: formatFloat(k, narrow)}, nil
	}
	return constant{k: k, text: formatFloat(k, v.f)}, nil
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
