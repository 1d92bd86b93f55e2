package predicate

import (
	"bytes"
	"math"
	"regexp"
	"strconv"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// textCastExpr reads text as another type. Texts that are not of the pattern, which is a little narrower than what
// Postgres accepts, are NULL instead of an error. Postgres and Go give the patterns the same meaning.
type textCastExpr struct {
	arg     scalar
	to      value.Kind
	pattern *regexp.Regexp
}

const (
	blanks   = `[ \t\n\r\f\v]*`
	fourHex  = `[0-9a-fA-F]{4}`
	sevenHex = `(` + fourHex + `-?){7}` + fourHex
	leapYear = `([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)`
	anyYear  = `([0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})`
	dateOnly = `(` + anyYear + `-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|` + leapYear + `-02-29)`
	timeOnly = `([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?`
)

// Patterns of the texts that can be cast. wholeNumber is for all integer types, which are computed with as numeric.
var (
	boolPattern = regexp.MustCompile(`^` + blanks + `([tT]([rR]([uU][eE]?)?)?|[yY]([eE][sS]?)?|[oO][nN]|1|` +
		`[fF]([aA]([lL]([sS][eE]?)?)?)?|[nN][oO]?|[oO][fF][fF]?|0)` + blanks + `$`)
	wholeNumber    = regexp.MustCompile(`^` + blanks + `[-+]?0*[0-9]{1,19}` + blanks + `$`)
	numericPattern = regexp.MustCompile(`^` + blanks + `([-+]?([0-9]{1,250}(\.[0-9]{0,250})?|\.[0-9]{1,250})([eE][-+]?[0-9]{1,2})?|NaN|-?Infinity)` + blanks + `$`)
	float8Pattern  = regexp.MustCompile(`^` + blanks + `([-+]?([0-9]{1,100}(\.[0-9]{0,100})?|\.[0-9]{1,100})([eE][-+]?[0-9]{1,2})?|NaN|-?Infinity)` + blanks + `$`)
	float4Pattern  = regexp.MustCompile(`^` + blanks + `([-+]?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})([eE][-+]?[0-9])?|NaN|-?Infinity)` + blanks + `$`)
	uuidPattern    = regexp.MustCompile(`^(` + sevenHex + `|\{` + sevenHex + `\})$`)
	datePattern    = regexp.MustCompile(`^` + blanks + `(` + dateOnly + `|-?infinity)` + blanks + `$`)
	stampPattern   = regexp.MustCompile(`^` + blanks + `(` + dateOnly + `([ T]` + timeOnly + `)?|-?infinity)` + blanks + `$`)
	zonedPattern   = regexp.MustCompile(`^` + blanks + `(` + dateOnly + `([ T]` + timeOnly + `(Z|[-+](0[0-9]|1[0-5])(:?[0-5][0-9])?)?)?|-?infinity)` + blanks + `$`)
	timePattern    = regexp.MustCompile(`^` + blanks + timeOnly + blanks + `$`)
)

// textPattern returns what text is cast to in the SQL, and the pattern; nil if text cannot be cast to the kind.
func textPattern(to value.Kind) (value.Kind, *regexp.Regexp) {
	switch to {
	case value.Bool:
		return to, boolPattern
	case value.Int2, value.Int4, value.Int8:
		return value.Numeric, wholeNumber
	case value.Numeric:
		return to, numericPattern
	case value.Float8:
		return to, float8Pattern
	case value.Float4:
		return to, float4Pattern
	case value.UUID:
		return to, uuidPattern
	case value.Date:
		return to, datePattern
	case value.Timestamp:
		return to, stampPattern
	case value.Timestamptz:
		return to, zonedPattern
	case value.Time:
		return to, timePattern
	default: // intervals, jsonb and arrays have no pattern
		return to, nil
	}
}

func textCast(arg scalar, to value.Kind, pattern *regexp.Regexp) scalar {
	s := scalar{expr: &textCastExpr{arg, to, pattern}, k: to}
	switch to {
	case value.Numeric:
		s.bounds = bounds{hi: bitsOfDigits(350), lo: -bitsOfDigits(350)}
		if pattern == wholeNumber {
			s.bounds = bounds{hi: 64}
		}
	case value.Float8:
		s.bounds = bounds{hi: bitsOfDigits(200), lo: -bitsOfDigits(200)}
	case value.Float4:
		s.bounds = bounds{hi: bitsOfDigits(25), lo: -bitsOfDigits(25)}
	default: // not a number
	}
	return s
}

func (e *textCastExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null || !e.fits(d.Bytes) {
		return value.Null
	}
	c, err := value.ParseConstant(e.to, string(d.Bytes))
	if err != nil {
		return value.Null
	}
	if e.to == value.Numeric { // the canonical form drops zeros that the text of a numeric keeps
		return value.Datum{Bytes: value.PlainNumeric(bytes.Trim(d.Bytes, value.Space))}
	}
	if e.to.IsFloat() { // the canonical form drops the sign of zero
		return value.Datum{Float: value.FloatOf(e.to, bytes.Trim(d.Bytes, value.Space))}
	}
	out, _ := value.ReadDatum(e.to, []byte(c.Text))
	return out
}

// longestCast is more than any text that matches a pattern has, without blanks around it and zeros in front.
const longestCast = 1024

// fits matches the pattern, which is slow, with no more of a text than can matter.
func (e *textCastExpr) fits(text []byte) bool {
	if len(text) <= longestCast {
		return e.pattern.Match(text)
	}
	if e.pattern == uuidPattern { // it has no blanks
		return false
	}
	text = bytes.Trim(text, value.Space)
	if e.pattern == wholeNumber {
		if len(text) > 0 && (text[0] == '+' || text[0] == '-') {
			text = text[1:]
		}
		for len(text) > longestCast && text[0] == '0' {
			text = text[1:]
		}
		if len(text) > 0 && text[0] != '+' && text[0] != '-' { // a second sign
			return len(text) <= longestCast && e.pattern.Match(text)
		}
		return false
	}
	return len(text) <= longestCast && e.pattern.Match(text)
}

func (e *textCastExpr) columns(add func(int)) { e.arg.columns(add) }

func (e *textCastExpr) print(p *printer) {
	p.WriteString("CASE WHEN ")
	p.expr(e.arg)
	p.WriteString(byteOrder + " ~ ")
	p.WriteString(quoteLiteral(e.pattern.String()))
	p.WriteString(" THEN ")
	p.expr(e.arg)
	p.WriteString("::" + e.to.String() + " END")
}

// narrowExpr brings a number to an integer type, or a smaller range of one; what is outside of the range is NULL.
type narrowExpr struct {
	arg       scalar
	to        value.Kind
	low, high int64
}

func (e *narrowExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	switch {
	case d.Null:
		return d
	case e.arg.k.IsFloat():
		if d.Float < float64(e.low) || d.Float > float64(e.high) || d.Float != d.Float {
			return value.Null
		}
		d = value.Datum{Int: int64(math.RoundToEven(d.Float))}
	case e.arg.k == value.Numeric:
		n, ok := value.RoundedNumeric(d.Bytes, e.low, e.high)
		if !ok {
			return value.Null
		}
		d = value.Datum{Int: n}
	}
	if d.Int < e.low || d.Int > e.high {
		return value.Null
	}
	return d
}

func (e *narrowExpr) columns(add func(int)) { e.arg.columns(add) }

func (e *narrowExpr) print(p *printer) {
	p.WriteString("CASE WHEN ")
	p.expr(e.arg)
	p.WriteString(" BETWEEN ")
	p.bound(e.low, e.arg.k)
	p.WriteString(" AND ")
	p.bound(e.high, e.arg.k)
	p.WriteString(" THEN ")
	p.expr(e.arg)
	p.WriteString("::" + e.to.String() + " END")
}

func (p *printer) bound(n int64, k value.Kind) {
	text := strconv.FormatInt(n, 10)
	if k.IsInt() {
		k = value.Int8
	}
	if k.IsFloat() {
		text, k = value.FormatFloat(value.Float8, float64(n)), value.Float8
	}
	p.WriteString("'" + text + "'::" + k.String())
}

// Ranges that numbers are narrowed to.
const (
	dayRange      = 700_000                   // days added to a date
	wholeFloat    = 9_000_000_000_000_000_000 // what certainly fits into a bigint, as a float
	subscriptEnds = 1 << 30                   // beyond any array's subscripts
)

func narrow(arg scalar, to value.Kind, low, high int64) scalar {
	hi := 0
	for v := max(value.Magnitude(low), value.Magnitude(high)); v > 1<<hi && hi < 63; hi++ {
	}
	return scalar{expr: &narrowExpr{arg, to, low, high}, k: to, bounds: bounds{hi: hi}}
}

// narrowToType is the cast of a number to an integer type.
func narrowToType(arg scalar, to value.Kind) scalar {
	switch {
	case to == value.Int2:
		return narrow(arg, to, -1<<15, 1<<15-1)
	case to == value.Int4:
		return narrow(arg, to, -1<<31, 1<<31-1)
	case arg.k.IsFloat():
		return narrow(arg, to, -wholeFloat, wholeFloat)
	default: // to bigint
		return narrow(arg, to, -1<<63, 1<<63-1)
	}
}

// castGuards lists the guarded casts that can stand in a printed CASE.
func castGuards(arg scalar, to value.Kind) []scalar {
	var out []scalar
	switch {
	case arg.k.IsText():
		if as, pattern := textPattern(to); pattern != nil && as == to {
			out = append(out, textCast(arg, to, pattern))
		}
		if to == value.Numeric {
			out = append(out, textCast(arg, to, wholeNumber))
		}
	case arg.k.IsNumber() && to.IsInt():
		out = append(out, narrowToType(arg, to))
		if to == value.Int4 {
			out = append(out, narrow(arg, to, -dayRange, dayRange), narrow(arg, to, -subscriptEnds, subscriptEnds), narrow(arg, to, 0, subscriptEnds))
		}
	}
	return out
}
