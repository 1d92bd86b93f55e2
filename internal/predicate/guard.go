package predicate

import (
	"math"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Postgres raises an error where arithmetic leaves the range of its type, in the middle of a snapshot if need be. Instead
// of foreseeing that for each operation, columns that go into arithmetic are read as NULL beyond limits that nobody
// reaches by accident, by Postgres too (the SQL says CASE WHEN within the limits THEN column END), and the bounds of
// everything computed from them are known when the clause is compiled.
const (
	guardDigits     = 1000              // numeric: below 10^1000
	guardFloat8     = 1e100             // float8: 1e-100 to 1e100 in magnitude, besides 0, NaN and the infinities
	guardFloat4     = 1e18              // float4 likewise
	guardYears      = 500               // interval: in months, and days and hours that make about as much
	guardDays       = 200_000           //
	guardHours      = 5_000_000         //
	firstGuardDay   = -730119           // 0001-01-01
	lastGuardDay    = 2921939           // 9999-12-31
	intervalReach   = 3*guardYears + 80 // years that a guarded interval can move a date
	maxReach        = 4700              // years below 0001-01-01 that Postgres has
	maxFloat8Bits   = 1020
	maxFloat4Bits   = 124
	maxNumericBits  = 400_000
	guardDayLiteral = `'0001-01-01'::date AND '9999-12-31'::date`
)

// withinGuard tells whether a guarded column keeps the value.
func withinGuard(k value.Kind, d *value.Datum) bool {
	switch k {
	case value.Numeric:
		var dec value.Decimal
		return value.ParseDecimal(d.Bytes, &dec) && dec.Exp <= guardDigits
	case value.Float8:
		return withinMagnitudes(d.Float, 1/guardFloat8, guardFloat8)
	case value.Float4:
		return withinMagnitudes(d.Float, float64(float32(1/guardFloat4)), float64(float32(guardFloat4)))
	case value.Date:
		return d.Int >= firstGuardDay && d.Int <= lastGuardDay || value.IsInfinite(d.Int)
	case value.Timestamp, value.Timestamptz:
		return d.Int >= firstGuardDay*value.MicrosPerDay && d.Int < (lastGuardDay+1)*value.MicrosPerDay || value.IsInfinite(d.Int)
	case value.Interval:
		return between(int64(d.Months)/12, guardYears) && between(int64(d.Days), guardDays) && between(d.Int/value.MicrosPerHour, guardHours)
	default: // every value is fine
		return true
	}
}

func withinMagnitudes(f, least, most float64) bool {
	a := math.Abs(f)
	return a >= least && a <= most || f == 0 || f != f || math.IsInf(f, 0)
}

func between(n, limit int64) bool { return n >= -limit && n <= limit }

func needsGuard(k value.Kind) bool {
	return k == value.Numeric || k.IsFloat() || k.IsTime() || k == value.Interval
}

func (e *columnExpr) print(p *printer) {
	if !e.guarded {
		p.value(e.column)
		return
	}
	p.WriteString("CASE WHEN ")
	p.guard(e.column)
	p.WriteString(" THEN ")
	p.value(e.column)
	p.WriteString(" END")
}

// value prints a column as a value to compute with: of a domain it is one of the type that it restricts, of which there
// are arrays and functions.
func (p *printer) value(c column) {
	p.column(c)
	if c.domain {
		p.WriteString("::" + c.k.String())
	}
}

// guard prints withinGuard.
func (p *printer) guard(c column) {
	name := quoteIdent(c.name)
	switch c.k {
	case value.Numeric:
		p.WriteString(name + ` > '-1e1000'::numeric AND ` + name + ` < '1e1000'::numeric OR ` + name +
			` IN ('-Infinity'::numeric, 'Infinity'::numeric, 'NaN'::numeric)`)
	case value.Float8:
		p.WriteString(`abs(` + name + `) BETWEEN '1e-100'::double precision AND '1e+100'::double precision OR ` + name +
			` IN ('-Infinity'::double precision, '0'::double precision, 'Infinity'::double precision, 'NaN'::double precision)`)
	case value.Float4:
		p.WriteString(`abs(` + name + `) BETWEEN '1e-18'::real AND '1e+18'::real OR ` + name +
			` IN ('-Infinity'::real, '0'::real, 'Infinity'::real, 'NaN'::real)`)
	case value.Date:
		p.WriteString(name + ` BETWEEN ` + guardDayLiteral + ` OR ` + name + ` IN ('-infinity'::date, 'infinity'::date)`)
	case value.Timestamp:
		p.WriteString(name + ` BETWEEN '0001-01-01'::timestamp AND '9999-12-31 23:59:59.999999'::timestamp OR ` + name +
			` IN ('-infinity'::timestamp, 'infinity'::timestamp)`)
	case value.Timestamptz:
		p.WriteString(name + ` BETWEEN '0001-01-01 00:00:00+00'::timestamptz AND '9999-12-31 23:59:59.999999+00'::timestamptz OR ` + name +
			` IN ('-infinity'::timestamptz, 'infinity'::timestamptz)`)
	default: // interval
		p.WriteString(`EXTRACT(year FROM ` + name + `) BETWEEN '-500'::numeric AND '500'::numeric AND EXTRACT(day FROM ` + name +
			`) BETWEEN '-200000'::numeric AND '200000'::numeric AND EXTRACT(hour FROM ` + name + `) BETWEEN '-5000000'::numeric AND '5000000'::numeric`)
	}
}

// guarded makes a value safe to compute with, by guarding the columns that it may be; what is computed already is safe.
func (s scalar) guarded() scalar {
	if !needsGuard(s.k) {
		return s
	}
	switch e := s.expr.(type) {
	case *columnExpr:
		if e.guarded || s.k == value.Numeric && s.bounds.hi < maxFloat8Bits {
			return s
		}
		s.expr = &columnExpr{column: e.column, guarded: true}
		s.bounds = guardBounds(s.k)
	case *coalesceExpr:
		args := guardedAll(e.args)
		s.expr, s.bounds = &coalesceExpr{args}, joint(args)
	case *extremeExpr:
		args := guardedAll(e.args)
		s.expr, s.bounds = &extremeExpr{least: e.least, args: args, compare: e.compare, scan: e.scan}, joint(args)
	case *caseExpr:
		args := guardedAll(append([]scalar{e.otherwise}, e.then...))
		s.expr, s.bounds = &caseExpr{e.when, args[1:], args[0]}, joint(args)
	case *nullifExpr:
		r := e.relation
		r.left = r.left.guarded()
		s.expr, s.bounds = &nullifExpr{r}, r.left.bounds
	}
	return s
}

func guardedAll(args []scalar) []scalar {
	out := make([]scalar, len(args))
	for i, a := range args {
		out[i] = a.guarded()
	}
	return out
}

func guardBounds(k value.Kind) bounds {
	switch k {
	case value.Numeric:
		return bounds{hi: bitsOfDigits(guardDigits), lo: -bitsOfDigits(value.NumericScale)}
	case value.Float8:
		return bounds{hi: 333, lo: -333}
	case value.Float4:
		return bounds{hi: 60, lo: -60}
	case value.Interval:
		return bounds{hi: intervalReach}
	default: // dates: not moved yet
		return bounds{}
	}
}

// guardTerm reads a CASE that the printer wrote around something that could fail; ok is false of any other. What it guards
// is built as if the CASE were not there, which gives the guarded expression again, and that must print as what was read,
// to the letter: whoever writes another CASE means one.
func (b *builder) guardTerm(e *pg_query.CaseExpr, pos, depth int) (t term, ok bool, err *Error) {
	before := b.counts()
	defer func() {
		if !ok {
			b.restore(before) // it is another CASE
		}
	}()
	candidates, err := b.guardCandidates(e.Args[0].GetCaseWhen().Result, depth)
	if err != nil {
		return term{}, false, err
	}
	for _, c := range candidates {
		p := printer{wanted: b.where[max(pos-1, 0):]}
		p.expr(c.x)
		if b.printed += p.Len(); b.printed > maxWork {
			return term{}, false, tooComplex()
		}
		if p.matches() && strings.HasPrefix(p.String(), "CASE WHEN ") {
			c.pos = pos
			return c, true, nil
		}
	}
	return term{}, false, nil
}

// guardCandidates lists the guarded expressions that end in THEN result END. What is cast is built once.
func (b *builder) guardCandidates(result *pg_query.Node, depth int) (out []term, err *Error) {
	var t term
	if cast := result.GetTypeCast(); cast != nil && cast.Arg.GetAArrayExpr() == nil && b.enumOfName(cast.TypeName) == nil {
		arg, err := b.remembered(cast.Arg, depth+2)
		if err != nil {
			return nil, err
		}
		k, err := b.castKind(cast.TypeName)
		if err != nil {
			return nil, err
		}
		if arg.k != value.Unknown {
			for _, s := range castGuards(b.scalar(arg), k) {
				out = append(out, exprTerm(s, arg.pos))
			}
		}
		if t, err = b.cast(arg, k, b.at(cast.TypeName.Location)); err != nil {
			return nil, err
		}
	} else if t, err = b.remembered(result, depth+1); err != nil || t.k == value.Unknown {
		return nil, err
	}
	s := b.scalar(t)
	out = append(out, exprTerm(s.guarded(), t.pos))
	if s.k.IsArray() {
		out = append(out, exprTerm(scalar{expr: &flatExpr{s}, k: s.k}, t.pos))
	}
	if s.k.IsText() {
		out = append(out, exprTerm(scalar{expr: &patternExpr{arg: s}, k: value.Text}, t.pos))
	}
	return out, nil
}
