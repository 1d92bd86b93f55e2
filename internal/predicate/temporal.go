package predicate

import (
	"math"
	"strconv"
	"strings"
)

type (
	// temporalExpr is left op right where at least one is a date, a time or an interval; apply never fails within the bounds.
	temporalExpr struct {
		op          byte
		left, right scalar
		apply       func(l, r datum) datum
	}

	// mapExpr is a function of one argument, or of a constant and one argument.
	mapExpr struct {
		name  string
		first *constant
		arg   scalar
		apply func(d datum) datum
	}
)

func (e *temporalExpr) eval(row [][]byte) datum {
	l := e.left.eval(row)
	if l.null {
		return l
	}
	r := e.right.eval(row)
	if r.null {
		return r
	}
	return e.apply(l, r)
}

func (e *mapExpr) eval(row [][]byte) datum {
	d := e.arg.eval(row)
	if d.null {
		return d
	}
	return e.apply(d)
}

func (e *temporalExpr) columns(add func(int)) {
	e.left.columns(add)
	e.right.columns(add)
}
func (e *mapExpr) columns(add func(int)) { e.arg.columns(add) }

func (e *temporalExpr) print(p *printer) {
	p.WriteByte('(')
	p.expr(e.left)
	p.WriteString(" " + string(rune(e.op)) + " ")
	p.expr(e.right)
	p.WriteByte(')')
}

func (e *mapExpr) print(p *printer) {
	p.WriteString(e.name)
	p.WriteByte('(')
	if e.first != nil {
		p.constant(*e.first)
		p.WriteString(", ")
	}
	p.expr(e.arg)
	p.WriteByte(')')
}

// temporal builds + - * on dates, times and intervals.
func (b *builder) temporal(op string, left, right term, pos int) (term, *Error) {
	l, r := left.k, right.k
	switch {
	case op == "+" && (l.isInt() || l == kindInterval || l == kindTime) && (r.isTime() || r == kindTime && l == kindInterval):
		// Written with the date first: the sum is the same.
		left, right, l, r = right, left, r, l
	case op == "*" && l.isInt() && r == kindInterval:
		left, right, l, r = right, left, r, l
	}
	x, y := b.scalar(left).guarded(), b.scalar(right).guarded()
	var err *Error
	if l.isTime() && r == kindTime && (op == "+" || op == "-") {
		if y, err = y.convert(kindInterval, right.pos); err != nil {
			return term{}, err
		}
		r = kindInterval
	}
	e := &temporalExpr{op: op[0], left: x, right: y}
	out := scalar{expr: e}
	minus := op == "-"
	switch {
	case op != "+" && op != "-" && (op != "*" || l != kindInterval):
		return term{}, b.noOperator(op, left, right, pos)
	case l == kindDate && (r == kindInt2 || r == kindInt4):
		e.right = dayCount(y)
		out.k, e.apply = kindDate, addDays(minus)
		reach := dayRange/365 + 1
		if c, ok := e.right.expr.(*constExpr); ok {
			reach = int(magnitude(c.value.i))/365 + 1
		}
		out.bounds.hi = x.bounds.hi + reach
	case minus && (l == r && (l.isTime() || l == kindTime) || l.isTime() && r.isTime() && l != kindTimestamptz && r != kindTimestamptz):
		return b.difference(left, right, x, y, pos)
	case l == kindTime && r == kindInterval:
		out.k, e.apply = kindTime, addToTime(minus)
	case l.isTime() && r == kindInterval:
		if l == kindDate {
			if e.left, err = x.convert(kindTimestamp, pos); err != nil {
				return term{}, err
			}
			l = kindTimestamp
		}
		out.k, e.apply = l, addToStamp(minus)
		out.bounds.hi = x.bounds.hi + max(y.bounds.hi, 1)
	case l == kindInterval && r == kindInterval && op != "*":
		out.k, e.apply = kindInterval, addIntervals(minus)
		out.bounds.hi = x.bounds.hi + y.bounds.hi
	case op == "*" && r.isInt() && right.form == formConst && !right.c.null:
		return b.multiplyInterval(x, y, pos)
	default:
		return term{}, b.noOperator(op, left, right, pos)
	}
	return b.reachable(out, pos)
}

// reachable refuses dates that could leave Postgres' range, and intervals whose fields could.
func (b *builder) reachable(s scalar, pos int) (term, *Error) {
	most := maxReach
	if s.k == kindInterval {
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
	if _, ok := s.expr.(*narrowExpr); ok && s.k == kindInt4 {
		return s
	}
	if c, ok := s.expr.(*constExpr); ok && !c.c.null && between(c.value.i, dayRange) {
		c := newConst(constant{k: kindInt4, text: c.c.text})
		return c
	}
	return narrow(s, kindInt4, -dayRange, dayRange)
}

func addDays(minus bool) func(l, r datum) datum {
	return func(l, r datum) datum {
		switch {
		case isInfinite(l.i):
			return l
		case minus:
			return datum{i: l.i - r.i}
		}
		return datum{i: l.i + r.i}
	}
}

func addToStamp(minus bool) func(l, r datum) datum {
	return func(l, r datum) datum {
		if minus {
			r = negatedInterval(r)
		}
		return datum{i: addInterval(l.i, &r)}
	}
}

// addToTime wraps at midnight and looks at the interval's time only.
func addToTime(minus bool) func(l, r datum) datum {
	return func(l, r datum) datum {
		if minus {
			r.i = -r.i
		}
		micros := (l.i + r.i) % microsPerDay
		if micros < 0 {
			micros += microsPerDay
		}
		return datum{i: micros}
	}
}

func addIntervals(minus bool) func(l, r datum) datum {
	return func(l, r datum) datum {
		if minus {
			r = negatedInterval(r)
		}
		return datum{months: l.months + r.months, days: l.days + r.days, i: l.i + r.i}
	}
}

func negatedInterval(d datum) datum { return datum{months: -d.months, days: -d.days, i: -d.i} }

// difference is what lies between two dates (in days), times or timestamps. Infinite ones make it NULL.
func (b *builder) difference(left, right term, x, y scalar, pos int) (term, *Error) {
	e := &temporalExpr{op: '-', left: x, right: y}
	out := scalar{expr: e, k: kindInterval}
	out.bounds.hi = 10_000 + x.bounds.hi + y.bounds.hi
	switch {
	case left.k == kindTime:
		e.apply = func(l, r datum) datum { return datum{i: l.i - r.i} }
		out.bounds.hi = 1
		return exprTerm(out, pos), nil
	case left.k == kindDate && right.k == kindDate:
		out.k, out.bounds = kindInt4, bounds{hi: 23}
		e.apply = func(l, r datum) datum { return datum{i: l.i - r.i} }
	default:
		k := left.k
		if k == kindDate {
			k = right.k
		}
		var err *Error
		if e.left, err = x.convert(k, left.pos); err != nil {
			return term{}, err
		}
		if e.right, err = y.convert(k, right.pos); err != nil {
			return term{}, err
		}
		e.apply = func(l, r datum) datum { return justifyHours(datum{i: l.i - r.i}) }
	}
	e.left, e.right = finite(e.left), finite(e.right)
	if max(x.bounds.hi, y.bounds.hi) > maxReach {
		return term{}, (&Error{Pos: pos, Message: "the result can be out of the range of " + out.k.String()}).withHint("write constants between the years 1 and 9999")
	}
	return exprTerm(out, pos), nil
}

// finite makes infinite dates and timestamps NULL.
func finite(s scalar) scalar {
	if c, ok := s.expr.(*constExpr); ok && !isInfinite(c.value.i) {
		return s
	}
	if n, ok := s.expr.(*nullifExpr); ok && isNamedConst(n.right, "-infinity") {
		return s
	}
	for _, end := range []string{"infinity", "-infinity"} {
		s = scalar{expr: &nullifExpr{relation{s, newConst(constant{k: s.k, text: end}), comparator(s.k, s.k), true}}, k: s.k, bounds: s.bounds}
	}
	return s
}

func isNamedConst(s scalar, text string) bool {
	c, ok := s.expr.(*constExpr)
	return ok && !c.c.null && c.c.text == text
}

func (b *builder) multiplyInterval(x, y scalar, pos int) (term, *Error) {
	n := y.expr.(*constExpr).value.i //nolint:forcetypeassert,errcheck // the caller has seen that it is one
	if !between(n, 1_000_000) {
		return term{}, tooWide(pos)
	}
	factor := newConst(constant{k: kindInt4, text: strconv.FormatInt(n, 10)})
	e := &temporalExpr{op: '*', left: x, right: factor, apply: func(l, r datum) datum {
		// As Postgres computes: in double precision, which for long times rounds.
		return datum{months: l.months * int32(r.i), days: l.days * int32(r.i), i: int64(math.RoundToEven(float64(l.i) * float64(r.i)))}
	}}
	return b.reachable(scalar{expr: e, k: kindInterval, bounds: bounds{hi: x.bounds.hi * int(max(magnitude(n), 1))}}, pos)
}

func (b *builder) negateInterval(t term, pos int) (term, *Error) {
	s := b.scalar(t).guarded()
	if s.bounds.hi > 20*maxReach {
		return term{}, tooWide(pos)
	}
	return exprTerm(scalar{expr: &intervalSignExpr{s}, k: kindInterval, bounds: s.bounds}, pos), nil
}

// intervalSignExpr is - interval.
type intervalSignExpr struct{ arg scalar }

func (e *intervalSignExpr) eval(row [][]byte) datum {
	d := e.arg.eval(row)
	if d.null {
		return d
	}
	return negatedInterval(d)
}

func (e *intervalSignExpr) columns(add func(int)) { e.arg.columns(add) }

func (e *intervalSignExpr) print(p *printer) {
	p.WriteString("(- ")
	p.expr(e.arg)
	p.WriteByte(')')
}

func (b *builder) justify(c call) (term, *Error) {
	t, err := b.resolve(c.args[0], kindInterval)
	if err != nil {
		return term{}, err
	}
	s := b.scalar(t)
	if s.k == kindTime {
		if s, err = s.convert(kindInterval, t.pos); err != nil {
			return term{}, err
		}
	}
	if s = s.guarded(); s.k != kindInterval {
		return term{}, b.noFunction(c)
	}
	apply := map[string]func(datum) datum{"justify_days": justifyDays, "justify_hours": justifyHours, "justify_interval": justifyInterval}[c.name]
	s.bounds.hi += 1 + s.bounds.hi/60 // months of 30 days are a little short
	return b.reachable(scalar{expr: &mapExpr{name: c.name, arg: s, apply: apply}, k: kindInterval, bounds: s.bounds}, c.pos)
}

// timezone is AT TIME ZONE, for UTC and fixed offsets: rules of named zones change with the release of the zone database,
// which need not be the same here and in Postgres.
func (b *builder) timezone(c call) (term, *Error) {
	zone, err := b.resolve(c.args[0], kindText)
	if err != nil {
		return term{}, err
	}
	at, err := b.resolve(c.args[1], kindTimestamptz)
	if err != nil {
		return term{}, err
	}
	if zone.form != formConst || !zone.k.isText() || zone.c.null {
		return term{}, &Error{Pos: zone.pos, Message: "the time zone must be a text constant"}
	}
	west, name, ok := fixedZone(zone.c.text)
	if !ok {
		return term{}, (&Error{Pos: zone.pos, Message: "time zone " + quoteShort(zone.c.text) + " is not supported"}).withHint(
			"use UTC or an offset such as +02:00, where positive is west of Greenwich, as in Postgres")
	}
	s := b.scalar(at).guarded()
	if s.k == kindDate {
		return term{}, (&Error{Pos: at.pos, Message: "a date has no time zone"}).withHint("cast it to timestamp")
	}
	if !s.k.isStamp() {
		return term{}, b.noFunction(c)
	}
	to := kindTimestamp
	if s.k == kindTimestamp {
		to = kindTimestamptz
		west = -west
	}
	apply := func(d datum) datum {
		if !isInfinite(d.i) {
			d.i -= west
		}
		return d
	}
	s.bounds.hi++
	first := &constant{k: kindText, text: name}
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
	west, ok = clockFromText(clock)
	if !ok || len(clock) != 5 || west > 15*microsPerHour {
		return 0, "", false
	}
	name = zone[:1] + clock
	if zone[0] == '-' {
		west = -west
	}
	return west, name, true
}
