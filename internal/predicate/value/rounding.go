package value

import (
	"math/big"
)

// Ways of making a number whole, or of fewer digits.
const (
	RoundHalf = 'r' // to the nearest, half away from zero
	RoundDown = 'f'
	RoundUp   = 'c'
	RoundZero = 't'
)

// Round gives x so many digits after the point; scale may be negative, which makes the last digits before the point zeros.
func (x Bignum) Round(how byte, scale int) Bignum {
	if !x.finite() {
		return x
	}
	if x.scale <= scale {
		return Bignum{Positive, new(big.Int).Mul(x.n, tenTo(scale-x.scale)), scale}
	}
	unit := tenTo(x.scale - scale)
	q, r := new(big.Int).QuoRem(x.n, unit, new(big.Int))
	one := big.NewInt(1)
	switch {
	case how == RoundHalf:
		q = divideRounded(x.n, unit)
	case how == RoundDown && r.Sign() < 0:
		q.Sub(q, one)
	case how == RoundUp && r.Sign() > 0:
		q.Add(q, one)
	}
	if scale < 0 {
		return Bignum{Positive, q.Mul(q, tenTo(-scale)), 0}
	}
	return Bignum{Positive, q, scale}
}

// SignText is sign() of a numeric.
func (x Bignum) SignText() []byte {
	if x.Class == NaN {
		return x.Text()
	}
	return []byte([]string{"-1", "0", "1"}[x.Sign()+1])
}
