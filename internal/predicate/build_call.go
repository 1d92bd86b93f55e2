package predicate

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// call builds a function call.
func (b *builder) call(f *pg_query.FuncCall, pos, depth int) (term, *Error) {
	name := lastName(f.Funcname)
	qualified := len(f.Funcname) > 1 && (len(f.Funcname) > 2 || f.Funcname[0].GetString_().GetSval() != "pg_catalog")
	unknown := refusedFunction(name, len(f.Args), pos)
	switch {
	case f.FuncVariadic:
		return term{}, &Error{Pos: pos, Message: "explicit VARIADIC function calls are not supported"}
	case f.AggStar || f.AggDistinct || f.AggFilter != nil || f.AggOrder != nil || f.AggWithinGroup || f.Over != nil:
		return term{}, refusal("an aggregate", reason{ofMany, "ask for the rows"}, pos)
	case qualified:
		return term{}, &Error{Pos: pos, Message: "functions of other schemas than pg_catalog are not supported, because clauses know nothing of them", Hint: asTableAbove}
	}
	if len(f.Args) > maxList {
		return term{}, &Error{Pos: pos, Message: fmt.Sprintf("the function has %d arguments, at most %d are allowed", len(f.Args), maxList)}
	}
	args := make([]term, 0, len(f.Args))
	for i, a := range f.Args {
		if i == 1 && strings.HasPrefix(name, "jsonb_path_") {
			a = withoutPathCast(a)
		}
		t, err := b.term(a, depth+1)
		if err != nil {
			return term{}, err
		}
		args = append(args, t)
	}
	if k, ok := value.KindOfName(name); ok && len(args) == 1 && name != "interval" && name != "time" && name != "timestamp" {
		return b.cast(args[0], k, pos)
	}
	build, ok := functions[function{name, len(args)}]
	if !ok {
		build, ok = functions[function{name, -1}]
	}
	if !ok {
		return term{}, unknown
	}
	return build(b, call{name, args, pos})
}

type function struct {
	name  string
	arity int // -1 for any
}

// call is a function call whose arguments are built, not yet typed.
type call struct {
	name string
	args []term
	pos  int
}

// functions are those of the language, by name and number of arguments.
var functions = map[function]func(b *builder, c call) (term, *Error){
	{"lower", 1}:              (*builder).textFunction,
	{"upper", 1}:              (*builder).textFunction,
	{"length", 1}:             (*builder).textFunction,
	{"char_length", 1}:        (*builder).textFunction,
	{"character_length", 1}:   (*builder).textFunction,
	{"concat", -1}:            (*builder).concat,
	{"like", 2}:               (*builder).likeFunction,
	{"abs", 1}:                (*builder).numberFunction,
	{"sqrt", 1}:               (*builder).numberFunction,
	{"div", 2}:                (*builder).numberFunction,
	{"mod", 2}:                (*builder).numberFunction,
	{"power", 2}:              (*builder).powerFunction,
	{"pow", 2}:                (*builder).powerFunction,
	{"timezone", 2}:           (*builder).timezone,
	{"justify_days", 1}:       (*builder).justify,
	{"justify_hours", 1}:      (*builder).justify,
	{"justify_interval", 1}:   (*builder).justify,
	{"array_cat", 2}:          (*builder).arrayFunction,
	{"array_append", 2}:       (*builder).arrayFunction,
	{"array_prepend", 2}:      (*builder).arrayFunction,
	{"array_ndims", 1}:        (*builder).arrayFunction,
	{"array_length", 2}:       (*builder).arrayLength,
	{"jsonb_typeof", 1}:       (*builder).jsonType,
	{"jsonb_array_length", 1}: (*builder).jsonLength,
	{"jsonb_path_exists", 2}:  (*builder).jsonPathFunction,
	{"jsonb_path_match", 2}:   (*builder).jsonPathFunction,
	{"octet_length", 1}:       (*builder).octets,
	{"reverse", 1}:            (*builder).reverse,
	{"cardinality", 1}:        (*builder).cardinality,
	{"left", 2}:               (*builder).sidePart,
	{"right", 2}:              (*builder).sidePart,
	{"substr", 2}:             (*builder).substring,
	{"substr", 3}:             (*builder).substring,
	{"substring", 2}:          (*builder).substring,
	{"substring", 3}:          (*builder).substring,
	{"btrim", 1}:              (*builder).trim,
	{"btrim", 2}:              (*builder).trim,
	{"ltrim", 1}:              (*builder).trim,
	{"ltrim", 2}:              (*builder).trim,
	{"rtrim", 1}:              (*builder).trim,
	{"rtrim", 2}:              (*builder).trim,
	{"strpos", 2}:             (*builder).strpos,
	{"position", 2}:           (*builder).strpos,
	{"starts_with", 2}:        (*builder).startsWith,
	{"split_part", 3}:         (*builder).splitPart,
	{"replace", 3}:            (*builder).replace,
	{"round", 1}:              (*builder).rounded,
	{"round", 2}:              (*builder).rounded,
	{"trunc", 1}:              (*builder).rounded,
	{"trunc", 2}:              (*builder).rounded,
	{"floor", 1}:              (*builder).rounded,
	{"ceil", 1}:               (*builder).rounded,
	{"ceiling", 1}:            (*builder).rounded,
	{"sign", 1}:               (*builder).sign,
	{"date_trunc", 2}:         (*builder).dateTrunc,
	{"date_trunc", 3}:         (*builder).dateTrunc,
	{"extract", 2}:            (*builder).extract,
	{"date_part", 2}:          (*builder).extract,
}

func (b *builder) noFunction(c call) *Error {
	return &Error{Pos: c.pos, Message: fmt.Sprintf("Could not select a function overload for %s(%s)", c.name, b.typeNames(c.args, ", "))}
}

func (b *builder) terms(nodes []*pg_query.Node, depth int) ([]term, *Error) {
	if len(nodes) > maxList {
		return nil, &Error{Pos: b.position(nodes[0]), Message: fmt.Sprintf("%d members, at most %d are allowed", len(nodes), maxList)}
	}
	out := make([]term, 0, len(nodes))
	for _, n := range nodes {
		t, err := b.term(n, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (b *builder) coalesce(e *pg_query.CoalesceExpr, pos, depth int) (term, *Error) {
	terms, err := b.terms(e.Args, depth)
	if err != nil {
		return term{}, err
	}
	args, k, err := b.commonTerms("COALESCE", terms, pos)
	if err != nil {
		return term{}, err
	}
	t := exprTerm(scalar{expr: &coalesceExpr{args}, k: args[0].k, bounds: joint(args), enum: args[0].enum}, pos)
	t.k, t.enum = k, args[0].enum
	return t, nil
}

func (b *builder) extreme(e *pg_query.MinMaxExpr, pos, depth int) (term, *Error) {
	terms, err := b.terms(e.Args, depth)
	if err != nil {
		return term{}, err
	}
	least, name := e.Op == pg_query.MinMaxOp_IS_LEAST, "GREATEST"
	if least {
		name = "LEAST"
	}
	args, k, err := b.commonTerms(name, terms, pos)
	if err != nil {
		return term{}, err
	}
	p := args[0].k
	if p == value.Enum {
		return b.extremeEnum(least, args, pos)
	}
	if !p.IsOrdered() {
		return term{}, &Error{Pos: pos, Message: fmt.Sprintf("%s is not supported on %s", name, args[0].typeName())}
	}
	t := exprTerm(scalar{expr: &extremeExpr{least: least, args: args, compare: value.Comparator(p, p)}, k: p, bounds: joint(args)}, pos)
	t.k = k
	return t, nil
}

// nullif builds NULLIF(left, right), which has the type of the left side.
func (b *builder) nullif(e *pg_query.A_Expr, pos, depth int) (term, *Error) {
	left, right, err := b.pair(e.Lexpr, e.Rexpr, depth)
	if err != nil {
		return term{}, err
	}
	r, err := b.relate("=", left, right, pos)
	if err != nil {
		return term{}, err
	}
	if c, ok := r.left.expr.(*constExpr); ok && growsLong(c.c) { // it is a value, too
		return term{}, tooLong(left.pos)
	}
	if r.left.k.IsArray() || left.k.IsText() && r.left.k != left.k || left.k != value.Unknown && !left.k.IsInt() && r.left.k != left.k {
		return term{}, &Error{Pos: pos, Message: "NULLIF takes two values of one type"}
	}
	t := exprTerm(scalar{expr: &nullifExpr{r}, k: r.left.k, bounds: r.left.bounds, enum: r.left.enum}, pos)
	if t.enum = r.left.enum; left.k.IsInt() && r.left.k.IsInt() {
		t.k = left.k
	}
	return t, nil
}
