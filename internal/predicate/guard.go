package predicate

import (
	"math"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
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
func withinGuard(k kind, d *datum) bool {
	switch k {
	case kindNumeric:
		var dec decimal
		return parseDecimal(d.b, &dec) && dec.exp <= guardDigits
	case kindFloat8:
		return withinMagnitudes(d.f, 1/guardFloat8, guardFloat8)
	case kindFloat4:
		return withinMagnitudes(d.f, float64(float32(1/guardFloat4)), float64(float32(guardFloat4)))
	case kindDate:
		return d.i >= firstGuardDay && d.i <= lastGuardDay || isInfinite(d.i)
	case kindTimestamp, kindTimestamptz:
		return d.i >= firstGuardDay*microsPerDay && d.i < (lastGuardDay+1)*microsPerDay || isInfinite(d.i)
	case kindInterval:
		return between(int64(d.months)/12, guardYears) && between(int64(d.days), guardDays) && between(d.i/microsPerHour, guardHours)
	default: // every value is fine
		return true
	}
}

func withinMagnitudes(f, least, most float64) bool {
	a := math.Abs(f)
	return a >= least && a <= most || f == 0 || f != f || math.IsInf(f, 0)
}

func between(n, limit int64) bool { return n >= -limit && n <= limit }
func (k kind) needsGuard() bool {
	return k == kindNumeric || k.isFloat() || k.isTime() || k == kindInterval
}
func (e *columnExpr) print(p *printer) {
	if !e.guarded {
		p.column(e.column)
		return
	}
	p.WriteString("CASE WHEN ")
	p.guard(e.column)
	p.WriteString(" THEN ")
	p.column(e.column)
	p.WriteString(" END")
}

// guard prints withinGuard.
func (p *printer) guard(c column) {
	name := quoteIdent(c.name)
	switch c.k {
	case kindNumeric:
		p.WriteString(name + ` > '-1e1000'::numeric AND ` + name + ` < '1e1000'::numeric OR ` + name +
			` IN ('-Infinity'::numeric, 'Infinity'::numeric, 'NaN'::numeric)`)
	case kindFloat8:
		p.WriteString(`abs(` + name + `) BETWEEN '1e-100'::double precision AND '1e+100'::double precision OR ` + name +
			` IN ('-Infinity'::double precision, '0'::double precision, 'Infinity'::double precision, 'NaN'::double precision)`)
	case kindFloat4:
		p.WriteString(`abs(` + name + `) BETWEEN '1e-18'::real AND '1e+18'::real OR ` + name +
			` IN ('-Infinity'::real, '0'::real, 'Infinity'::real, 'NaN'::real)`)
	case kindDate:
		p.WriteString(name + ` BETWEEN ` + guardDayLiteral + ` OR ` + name + ` IN ('-infinity'::date, 'infinity'::date)`)
	case kindTimestamp:
		p.WriteString(name + ` BETWEEN '0001-01-01'::timestamp AND '9999-12-31 23:59:59.999999'::timestamp OR ` + name +
			` IN ('-infinity'::timestamp, 'infinity'::timestamp)`)
	case kindTimestamptz:
		p.WriteString(name + ` BETWEEN '0001-01-01 00:00:00+00'::timestamptz AND '9999-12-31 23:59:59.999999+00'::timestamptz OR ` + name +
			` IN ('-infinity'::timestamptz, 'infinity'::timestamptz)`)
	default: // interval
		p.WriteString(`EXTRACT(year FROM ` + name + `) BETWEEN '-500'::numeric AND '500'::numeric AND EXTRACT(day FROM ` + name +
			`) BETWEEN '-200000'::numeric AND '200000'::numeric AND EXTRACT(hour FROM ` + name + `) BETWEEN '-5000000'::numeric AND '5000000'::numeric`)
	}
}

// guarded makes a value safe to compute with, by guarding the columns that it may be; what is computed already is safe.
func (s scalar) guarded() scalar {
	if !s.k.needsGuard() {
		return s
	}
	switch e := s.expr.(type) {
	case *columnExpr:
		if e.guarded || s.k == kindNumeric && s.bounds.hi < maxFloat8Bits {
			return s
		}
		s.expr = &columnExpr{column: e.column, guarded: true}
		s.bounds = guardBounds(s.k)
	case *coalesceExpr:
		args := guardedAll(e.args)
		s.expr, s.bounds = &coalesceExpr{args}, joint(args)
	case *extremeExpr:
		args := guardedAll(e.args)
		s.expr, s.bounds = &extremeExpr{e.least, args, e.compare}, joint(args)
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

func guardBounds(k kind) bounds {
	switch k {
	case kindNumeric:
		return bounds{hi: bitsOfDigits(guardDigits), lo: -bitsOfDigits(numericScale)}
	case kindFloat8:
		return bounds{hi: 333, lo: -333}
	case kindFloat4:
		return bounds{hi: 60, lo: -60}
	case kindInterval:
		return bounds{hi: intervalReach}
	default: // dates: not moved yet
		return bounds{}
	}
}

// caseTerm reads a CASE that the printer wrote around something that could fail; any other CASE is not of the language.
// What it guards is built as if the CASE were not there, which gives the guarded expression again, and that must print as
// what was read.
func (b *builder) caseTerm(e *pg_query.CaseExpr, pos, depth int) (term, *Error) {
	refused := &Error{Pos: pos, Message: "CASE is not supported", Hint: "write the conditions with AND, OR and NOT"}
	if e.Arg != nil || e.Defresult != nil || len(e.Args) != 1 || e.Args[0].GetCaseWhen() == nil {
		return term{}, refused
	}
	candidates, err := b.guardCandidates(e.Args[0].GetCaseWhen().Result, depth)
	if err != nil {
		return term{}, err
	}
	for _, c := range candidates {
		var p printer
		p.expr(c.x)
		if b.printed += p.Len(); b.printed > maxWork {
			return term{}, tooComplex()
		}
		if p.full || p.Len() > len(b.where) || !strings.HasPrefix(p.String(), "CASE WHEN ") {
			continue
		}
		parsed, perr := pg_query.Parse("SELECT " + p.String())
		if perr != nil {
			continue
		}
		targets := parsed.Stmts[0].GetStmt().GetSelectStmt().GetTargetList()
		if len(targets) != 1 {
			continue
		}
		other := targets[0].GetResTarget().GetVal().GetCaseExpr()
		if other == nil {
			continue
		}
		mine, _ := proto.Clone(e).(*pg_query.CaseExpr)
		forgetLocations(mine.ProtoReflect())
		forgetLocations(other.ProtoReflect())
		if proto.Equal(mine, other) {
			c.pos = pos
			return c, nil
		}
	}
	return term{}, refused
}

// guardCandidates lists the guarded expressions that end in THEN result END.
func (b *builder) guardCandidates(result *pg_query.Node, depth int) ([]term, *Error) {
	var out []term
	if cast := result.GetTypeCast(); cast != nil {
		arg, err := b.term(cast.Arg, depth+2)
		if err != nil {
			return nil, err
		}
		k, err := b.castKind(cast.TypeName)
		if err != nil {
			return nil, err
		}
		if arg.k != kindUnknown {
			for _, s := range castGuards(b.scalar(arg), k) {
				out = append(out, exprTerm(s, arg.pos))
			}
		}
	}
	t, err := b.term(result, depth+1)
	if err != nil || t.k == kindUnknown {
		return nil, err
	}
	s := b.scalar(t)
	out = append(out, exprTerm(s.guarded(), t.pos))
	if s.k.isArray() {
		out = append(out, exprTerm(scalar{expr: &flatExpr{s}, k: s.k}, t.pos))
	}
	if s.k.isText() {
		out = append(out, exprTerm(scalar{expr: &patternExpr{arg: s}, k: kindText}, t.pos))
	}
	return out, nil
}

func forgetLocations(m protoreflect.Message) {
	if f := m.Descriptor().Fields().ByName("location"); f != nil && f.Kind() == protoreflect.Int32Kind {
		m.Clear(f)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsList():
			for i := range v.List().Len() {
				forgetLocations(v.List().Get(i).Message())
			}
		default:
			forgetLocations(v.Message())
		}
		return true
	})
}
