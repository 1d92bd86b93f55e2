package value

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// CastConstant converts between typed constants: among numbers, and from anything to text and back.
func CastConstant(c Constant, k Kind) (Constant, error) {
	switch {
	case c.Kind == k:
		return c, nil
	case c.Kind.IsNumber() && k.IsInt():
		if c.Kind.IsInt() {
			return ParseConstant(k, c.Text)
		}
		return roundedInt(c, k)
	case c.Kind.IsFloat() && k.IsNumber():
		return castFloat(c, k)
	case c.Kind.IsNumber() && k.IsNumber(), c.Kind.IsText() && !k.IsText():
		return ParseConstant(k, c.Text)
	case c.Kind.IsText():
		if c.Kind == Bpchar {
			c.Text = strings.TrimRight(c.Text, " ")
		}
		c.Kind = k
		return c, nil
	case k.IsText() && (c.Kind.IsInt() || c.Kind == UUID):
		c.Kind = k
		return c, nil
	case c.Kind.IsInt() && k == OID:
		return ParseConstant(k, c.Text)
	case c.Kind == Cidr && k == Inet:
		return Constant{Kind: k, Text: string(hostText([]byte(c.Text)))}, nil
	case c.Kind == Date && k == Timestamp:
		return dateAsTimestamp(c)
	case c.Kind == Bool && k == Int4: // to no other integer, as in Postgres
		return Constant{Kind: k, Text: map[string]string{"t": "1", "f": "0"}[c.Text]}, nil
	case c.Kind == Int4 && k == Bool:
		if c.Text == "0" {
			return Constant{Kind: k, Text: "f"}, nil
		}
		return Constant{Kind: k, Text: "t"}, nil
	case c.Kind == Bool && k.IsText():
		return Constant{Kind: k, Text: map[string]string{"t": "true", "f": "false"}[c.Text]}, nil
	}
	return Constant{}, &InputError{
		Message: fmt.Sprintf("cannot cast type %s to %s", c.Kind, k), Hint: "write the constant in quotes: '…'::" + k.String(),
	}
}

func dateAsTimestamp(c Constant) (Constant, error) {
	days, _ := dateFromText([]byte(c.Text))
	switch {
	case days == infinity || days == minusInfinity:
		return Constant{Kind: Timestamp, Text: c.Text}, nil
	case days >= endMicrosInDay:
		return Constant{}, OutOfRange(Timestamp, c.Text)
	}
	return Constant{Kind: Timestamp, Text: timestampText(dayToMicros(days), "")}, nil
}

// castFloat works on the binary value, not on its decimal text. To numeric only the digits that any float of the kind
// keeps survive, as in Postgres.
func castFloat(c Constant, k Kind) (Constant, error) {
	var v Operand
	if err := c.Read(&v, Reading{Kind: c.Kind, Domain: DomainFloat}); err != nil {
		return Constant{}, err
	}
	switch {
	case k == Numeric && c.Kind == Float4:
		return ParseConstant(k, strconv.FormatFloat(v.Float, 'g', 6, 64))
	case k == Numeric:
		return ParseConstant(k, strconv.FormatFloat(v.Float, 'g', 15, 64))
	case k == Float4:
		narrow := float64(float32(v.Float))
		if math.IsInf(narrow, 0) && !math.IsInf(v.Float, 0) || narrow == 0 && v.Float != 0 {
			return Constant{}, OutOfRange(k, c.Text)
		}
		return Constant{Kind: k, Text: FormatFloat(k, narrow)}, nil
	}
	return Constant{Kind: k, Text: FormatFloat(k, v.Float)}, nil
}

// roundedInt is the cast from numeric or float to an integer type: numeric rounds half away from zero, float half to even.
func roundedInt(c Constant, k Kind) (Constant, error) {
	var d Decimal
	switch ok := ParseDecimal([]byte(c.Text), &d); {
	case !ok || d.Class == NaN || d.Class == Inf || d.Class == NegInf || d.Exp > 19:
		return Constant{}, OutOfRange(k, c.Text)
	case d.Exp < 0:
		return Constant{Kind: k, Text: "0"}, nil
	}
	r, ok := new(big.Rat).SetString(c.Text)
	if c.Kind.IsFloat() { // the text is the shortest that means the value, not the value
		var v Operand
		if err := c.Read(&v, Reading{Domain: DomainFloat}); err != nil {
			return Constant{}, err
		}
		r, ok = r.SetFloat64(v.Float), true
	}
	if !ok {
		return Constant{}, OutOfRange(k, c.Text)
	}
	twice := new(big.Int).Mul(r.Num(), big.NewInt(2))
	twice.Div(twice, r.Denom())                       // floor(2x)
	half := new(big.Int).Add(twice, big.NewInt(1))    // floor(2x)+1
	n := new(big.Int).Div(half, big.NewInt(2))        // floor(x + 1/2), i.e. half up
	isHalf := r.Denom().Cmp(big.NewInt(2)) == 0       // x is exactly between two integers
	awayFromZero := c.Kind == Numeric && r.Sign() < 0 // half up is towards zero below it
	toEven := c.Kind.IsFloat() && n.Bit(0) == 1       // half up landed on the odd one
	if isHalf && (awayFromZero || toEven) {
		n.Sub(n, big.NewInt(1))
	}
	if !n.IsInt64() || !FitsInt(k, n.Int64()) {
		return Constant{}, OutOfRange(k, c.Text)
	}
	return Constant{Kind: k, Text: n.String()}, nil
}
