package predicate

import (
	"fmt"
	"math"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// extract builds extract(field FROM x), which is a numeric, and date_part('field', x), which is a double precision and takes a
// date for a timestamp.
func (b *builder) extract(c call) (term, *Error) {
	name, field, err := b.field(c)
	if err != nil {
		return term{}, err
	}
	if !c.args[1].k.IsTemporal() {
		return term{}, b.noFunction(c).withHint("cast the second argument to the date or time that is meant")
	}
	s := b.scalar(c.args[1])
	if s.k == value.Interval {
		if s = s.guarded(); s.bounds.hi > 20*maxReach {
			return term{}, tooWide(c.pos)
		}
	}
	if c.name == "date_part" && s.k == value.Date {
		if s, err = s.convert(value.Timestamp, c.args[1].pos); err != nil {
			return term{}, err
		}
	}
	if _, ok := value.FieldOf(s.k, field, &value.Datum{}); !ok {
		bad := &Error{Pos: c.args[0].pos, Message: fmt.Sprintf("%s of %s is not supported", field, s.k)}
		if s.k == value.Timestamptz {
			return term{}, bad.withHint("it depends on the session's time zone; say x AT TIME ZONE 'UTC'")
		}
		return term{}, bad
	}
	e := &callExpr{name: c.name, args: []scalar{name, s}, cost: callCost{bytes: 32}}
	out := scalar{expr: e, k: value.Numeric, bounds: bounds{hi: 44, lo: -bitsOfDigits(6)}}
	if c.name == "date_part" {
		out.k = value.Float8
	}
	k := s.k
	e.apply = func(a []value.Datum) value.Datum {
		d := &a[1]
		if k.IsTime() && value.IsInfinite(d.Int) {
			return infiniteField(field, out.k, d.Int > 0)
		}
		n, _ := value.FieldOf(k, field, d)
		if out.k == value.Float8 {
			return value.Datum{Float: value.FieldFloat(k, field, n, d)}
		}
		return value.Datum{Bytes: value.FieldText(k, field, n, d)}
	}
	return exprTerm(out, c.pos), nil
}

func infiniteField(field string, k value.Kind, positive bool) value.Datum {
	switch {
	case !value.FieldGrows(field):
		return value.Null
	case k == value.Float8 && positive:
		return value.Datum{Float: math.Inf(1)}
	case k == value.Float8:
		return value.Datum{Float: math.Inf(-1)}
	case positive:
		return value.Datum{Bytes: []byte("Infinity")}
	default:
		return value.Datum{Bytes: []byte("-Infinity")}
	}
}

// fieldNames are other names of fields.
var fieldNames = map[string]string{
	"years": value.Year, "months": value.Month, "weeks": value.Week, "days": value.Day, "hours": value.Hour, "minutes": value.Minute,
	"seconds": value.Second, "decades": value.Decade, "millisecond": value.Milliseconds, "microsecond": value.Microseconds,
}

// field reads the first argument, a constant.
func (b *builder) field(c call) (name scalar, field string, err *Error) {
	_, text, ok, err := b.constText(c, 0)
	if err != nil {
		return scalar{}, "", err
	}
	field = strings.ToLower(text)
	if other := fieldNames[field]; other != "" {
		field = other
	}
	if !ok {
		return scalar{}, "", &Error{Pos: c.args[0].pos, Message: "the field of " + c.name + " is NULL"}
	}
	return newConst(value.Constant{Kind: value.Text, Text: field}), field, nil
}

// dateTrunc builds date_trunc('field', timestamp), and date_trunc('field', timestamptz, 'UTC').
func (b *builder) dateTrunc(c call) (term, *Error) {
	name, field, err := b.field(c)
	if err != nil {
		return term{}, err
	}
	if _, ok := value.TruncatedTimestamp(field, 0); !ok {
		return term{}, &Error{Pos: c.args[0].pos, Message: "date_trunc to " + value.QuoteShort(field) + " is not supported"}
	}
	e := &callExpr{name: c.name, args: []scalar{name}, cost: callCost{bytes: 16}}
	e.apply = func(a []value.Datum) value.Datum {
		if !value.IsInfinite(a[1].Int) {
			a[1].Int, _ = value.TruncatedTimestamp(field, a[1].Int)
		}
		return a[1]
	}
	k := c.args[1].k
	switch {
	case k == value.Date:
		return term{}, b.noFunction(c).withHint("Postgres makes a timestamp with time zone of a date, in the session's time zone; cast it to timestamp")
	case k == value.Timestamptz && len(c.args) == 2:
		return term{}, b.noFunction(c).withHint("it depends on the session's time zone; say date_trunc('%s', x, 'UTC')", field)
	case k == value.Timestamptz, k == value.Timestamp && len(c.args) == 2:
	default:
		return term{}, b.noFunction(c).withHint("cast the second argument to timestamp")
	}
	s := b.scalar(c.args[1]).guarded()
	e.args = append(e.args, s)
	if len(c.args) == 3 {
		_, zone, _, err := b.constText(c, 2)
		if err != nil {
			return term{}, err
		}
		if west, _, ok := fixedZone(zone); !ok || west != 0 {
			return term{}, &Error{Pos: c.args[2].pos, Message: "date_trunc in time zone " + value.QuoteShort(zone) + " is not supported", Hint: "say 'UTC'"}
		}
		e.args = append(e.args, newConst(value.Constant{Kind: value.Text, Text: "UTC"}))
	}
	return b.reachable(scalar{expr: e, k: k, bounds: bounds{hi: s.bounds.hi + 1}}, c.pos)
}
