package predicate

import (
	"math"
	"strconv"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// temporal builds + - * on dates, times and intervals.
func (b *builder) temporal(op string, left, right term, pos int) (term, *Error) {
	l, r := left.k, right.k
	switch {
	case op == "+" && (l.IsInt() || l == value.Interval || l == value.Time) && (r.IsTime() || r == value.Time && l == value.Interval):
		// Written with the date first: the sum is the same.
		left, right, l, r = right, left, r, l
	case op == "*" && l.IsInt() && r == value.Interval:
		left, right, l, r = right, left, r, l
	}
	x, y := b.scalar(left).guarded(), b.scalar(right).guarded()
	var err *Error
	if l.IsTime() && r == value.Time && (op == "+" || op == "-") {
		if y, err = y.convert(value.Interval, right.pos); err != nil {
			return term{}, err
		}
		r = value.Interval
	}
	e := &temporalExpr{op: op[0], left: x, right: y}
	out := scalar{expr: e}
	minus := op == "-"
	switch {
	case op != "+" && op != "-" && (op != "*" || l != value.Interval):
		return term{}, b.noOperator(op, left, right, pos)
	case l == value.Date && (r == value.Int2 || r == value.Int4):
		e.right = dayCount(y)
		out.k, e.apply = value.Date, addDays(minus)
		reach := dayRange/365 + 1
		if c, ok := e.right.expr.(*constExpr); ok {
			reach = int(value.Magnitude(c.value.Int))/365 + 1
		}
		out.bounds.hi = x.bounds.hi + reach
	case minus && (l == r && (l.IsTime() || l == value.Time) || l.IsTime() && r.IsTime() && l != value.Timestamptz && r != value.Timestamptz):
		return b.difference(left, right, x, y, pos)
	case l == value.Time && r == value.Interval:
		out.k, e.apply = value.Time, addToTime(minus)
	case l.IsTime() && r == value.Interval:
		if l == value.Date {
			if e.left, err = x.convert(value.Timestamp, pos); err != nil {
				return term{}, err
			}
			l = value.Timestamp
		}
		out.k, e.apply = l, addToStamp(minus)
		out.bounds.hi = x.bounds.hi + max(y.bounds.hi, 1)
	case l == value.Interval && r == value.Interval && op != "*":
		out.k, e.apply = value.Interval, addIntervals(minus)
		out.bounds.hi = x.bounds.hi + y.bounds.hi
	case op == "*" && r.IsInt() && right.form == formConst && !right.c.Null:
		return b.multiplyInterval(x, y, pos)
	default:
		return term{}, b.noOperator(op, left, right, pos)
	}
	return b.reachable(out, pos)
}

// reachable refuses dates that could leave Postgres' range, and intervals whose fields could.
func (b *builder) reachable(s scalar, pos int) (term, *Error) {
	most := maxReach
	if s.k == value.Interval {
		most = 20 * maxReach
	}
	if s.bounds.hi > most {
		return term{}, (&Error{Pos: pos, Message: "the result can be out of the range of " + s.k.String()}).withHint(
			"together, the intervals that are added may be some thousands of years long at most")
	}
	return exprTerm(s, pos), nil
}

// dayCount brings the days that are added to a date into a range.
func dayCount(s scalar) scalar {
	if _, ok := s.expr.(*narrowExpr); ok && s.k == value.Int4 {
		return s
	}
	if c, ok := s.expr.(*constExpr); ok && !c.c.Null && between(c.value.Int, dayRange) {
		c := newConst(value.Constant{Kind: value.Int4, Text: c.c.Text})
		return c
	}
	return narrow(s, value.Int4, -dayRange, dayRange)
}

// difference is what lies between two dates (in days), times or timestamps. Infinite ones make it NULL.
func (b *builder) difference(left, right term, x, y scalar, pos int) (term, *Error) {
	e := &temporalExpr{op: '-', left: x, right: y}
	out := scalar{expr: e, k: value.Interval}
	out.bounds.hi = 10_000 + x.bounds.hi + y.bounds.hi
	switch {
	case left.k == value.Time:
		e.apply = func(l, r value.Datum) value.Datum { return value.Datum{Int: l.Int - r.Int} }
		out.bounds.hi = 1
		return exprTerm(out, pos), nil
	case left.k == value.Date && right.k == value.Date:
		out.k, out.bounds = value.Int4, bounds{hi: 23}
		e.apply = func(l, r value.Datum) value.Datum { return value.Datum{Int: l.Int - r.Int} }
	default:
		k := left.k
		if k == value.Date {
			k = right.k
		}
		var err *Error
		if e.left, err = x.convert(k, left.pos); err != nil {
			return term{}, err
		}
		if e.right, err = y.convert(k, right.pos); err != nil {
			return term{}, err
		}
		e.apply = func(l, r value.Datum) value.Datum { return value.JustifyHours(value.Datum{Int: l.Int - r.Int}) }
	}
	e.left, e.right = finite(e.left), finite(e.right)
	if max(x.bounds.hi, y.bounds.hi) > maxReach {
		return term{}, (&Error{Pos: pos, Message: "the result can be out of the range of " + out.k.String()}).withHint("write constants between the years 1 and 9999")
	}
	return exprTerm(out, pos), nil
}

// finite makes infinite dates and timestamps NULL.
func finite(s scalar) scalar {
	if c, ok := s.expr.(*constExpr); ok && !value.IsInfinite(c.value.Int) {
		return s
	}
	if n, ok := s.expr.(*nullifExpr); ok && isNamedConst(n.right, "-infinity") {
		return s
	}
	for _, end := range []string{"infinity", "-infinity"} {
		s = scalar{expr: &nullifExpr{relation{left: s, right: newConst(value.Constant{Kind: s.k, Text: end}), compare: value.Comparator(s.k, s.k), ordered: true}}, k: s.k, bounds: s.bounds}
	}
	return s
}

func isNamedConst(s scalar, text string) bool {
	c, ok := s.expr.(*constExpr)
	return ok && !c.c.Null && c.c.Text == text
}

func (b *builder) multiplyInterval(x, y scalar, pos int) (term, *Error) {
	n := y.expr.(*constExpr).value.Int //nolint:forcetypeassert,errcheck // the caller has seen that it is one
	if !between(n, 1_000_000) {
		return term{}, tooWide(pos)
	}
	factor := newConst(value.Constant{Kind: value.Int4, Text: strconv.FormatInt(n, 10)})
	e := &temporalExpr{op: '*', left: x, right: factor, apply: func(l, r value.Datum) value.Datum {
		// As Postgres computes: in double precision, which for long times rounds.
		return value.Datum{Months: l.Months * int32(r.Int), Days: l.Days * int32(r.Int), Int: int64(math.RoundToEven(float64(l.Int) * float64(r.Int)))}
	}}
	return b.reachable(scalar{expr: e, k: value.Interval, bounds: bounds{hi: x.bounds.hi * int(max(value.Magnitude(n), 1))}}, pos)
}

func (b *builder) negateInterval(t term, pos int) (term, *Error) {
	s := b.scalar(t).guarded()
	if s.bounds.hi > 20*maxReach {
		return term{}, tooWide(pos)
	}
	return exprTerm(scalar{expr: &intervalSignExpr{s}, k: value.Interval, bounds: s.bounds}, pos), nil
}

func (b *builder) justify(c call) (term, *Error) {
	t, err := b.resolve(c.args[0], value.Interval)
	if err != nil {
		return term{}, err
	}
	s := b.scalar(t)
	if s.k == value.Time {
		if s, err = s.convert(value.Interval, t.pos); err != nil {
			return term{}, err
		}
	}
	if s = s.guarded(); s.k != value.Interval {
		return term{}, b.noFunction(c)
	}
	apply := map[string]func(value.Datum) value.Datum{"justify_days": value.JustifyDays, "justify_hours": value.JustifyHours, "justify_interval": value.JustifyInterval}[c.name]
	s.bounds.hi += 1 + s.bounds.hi/60 // months of 30 days are a little short
	return b.reachable(scalar{expr: &mapExpr{name: c.name, arg: s, apply: apply}, k: value.Interval, bounds: s.bounds}, c.pos)
}

// timezone is AT TIME ZONE, for UTC and fixed offsets: rules of named zones change with the release of the zone database,
// which need not be the same here and in Postgres.
func (b *builder) timezone(c call) (term, *Error) {
	zone, err := b.resolve(c.args[0], value.Text)
	if err != nil {
		return term{}, err
	}
	at, err := b.resolve(c.args[1], value.Timestamptz)
	if err != nil {
		return term{}, err
	}
	if zone.form != formConst || !zone.k.IsText() || zone.c.Null {
		return term{}, &Error{Pos: zone.pos, Message: "the time zone must be a text constant"}
	}
	west, name, ok := fixedZone(zone.c.Text)
	if !ok {
		return term{}, (&Error{Pos: zone.pos, Message: "time zone " + value.QuoteShort(zone.c.Text) + " is not supported yet, because the server's rules of it may change under a shape that lives"}).withHint(
			"use UTC or an offset such as +02:00, where positive is west of Greenwich, as in Postgres; or keep the local time in a column")
	}
	s := b.scalar(at).guarded()
	if s.k == value.Date {
		return term{}, (&Error{Pos: at.pos, Message: "a date has no time zone"}).withHint("cast it to timestamp")
	}
	if !s.k.IsStamp() {
		return term{}, b.noFunction(c)
	}
	to := value.Timestamp
	if s.k == value.Timestamp {
		to = value.Timestamptz
		west = -west
	}
	apply := func(d value.Datum) value.Datum {
		if !value.IsInfinite(d.Int) {
			d.Int -= west
		}
		return d
	}
	s.bounds.hi++
	first := &value.Constant{Kind: value.Text, Text: name}
	return b.reachable(scalar{expr: &mapExpr{name: "timezone", first: first, arg: s, apply: apply}, k: to, bounds: s.bounds}, c.pos)
}

// fixedZone returns microseconds west of UTC.
func fixedZone(zone string) (west int64, name string, ok bool) {
	switch strings.ToUpper(zone) {
	case "UTC", "GMT", "Z", "ETC/UTC":
		return 0, "UTC", true
	}
	if len(zone) < 3 || zone[0] != '+' && zone[0] != '-' {
		return 0, "", false
	}
	clock := zone[1:]
	if len(clock) == 2 {
		clock += ":00"
	}
	west, ok = value.ClockFromText(clock)
	if !ok || len(clock) != 5 || west > 15*value.MicrosPerHour {
		return 0, "", false
	}
	name = zone[:1] + clock
	if zone[0] == '-' {
		west = -west
	}
	return west, name, true
}
