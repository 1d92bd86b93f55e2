package predicate

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// operatorName returns the operator of an expression, "" if it is qualified with a schema other than Postgres' own.
func operatorName(e *pg_query.A_Expr) string {
	names := e.GetName()
	switch {
	case len(names) == 1:
		return names[0].GetString_().GetSval()
	case len(names) == 2 && names[0].GetString_().GetSval() == "pg_catalog":
		return names[1].GetString_().GetSval()
	}
	return ""
}

// expression builds comparisons, IN, BETWEEN and LIKE.
func (b *builder) expression(e *pg_query.A_Expr, depth int) (node, *Error) {
	pos := b.at(e.Location)
	name := operatorName(e)
	switch e.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP:
		op, _ := operatorOf(name) // term has taken all others
		if isRow(e.Lexpr) || isRow(e.Rexpr) {
			return b.rowComparison(op, e.Lexpr, e.Rexpr, pos, depth)
		}
		left, right, err := b.pair(e.Lexpr, e.Rexpr, depth)
		if err != nil {
			return nil, err
		}
		return b.compare(op, left, right, pos)
	case pg_query.A_Expr_Kind_AEXPR_IN:
		return b.in(e, name == "<>", pos, depth)
	case pg_query.A_Expr_Kind_AEXPR_DISTINCT, pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		left, right, err := b.pair(e.Lexpr, e.Rexpr, depth)
		if err != nil {
			return nil, err
		}
		return b.distinct(left, right, e.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT, pos)
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY, pg_query.A_Expr_Kind_AEXPR_OP_ALL:
		return b.quantified(e, pos, depth)
	case pg_query.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return b.betweenSymmetric(e, pos, depth)
	case pg_query.A_Expr_Kind_AEXPR_BETWEEN, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN:
		return b.between(e, pos, depth)
	case pg_query.A_Expr_Kind_AEXPR_LIKE, pg_query.A_Expr_Kind_AEXPR_ILIKE:
		return b.like(e, pos, depth)
	case pg_query.A_Expr_Kind_AEXPR_SIMILAR:
		return nil, refusal("SIMILAR TO", reason{"its patterns are a third kind", "write x LIKE 'pattern' or x ~ 'pattern'"}, pos)
	default:
		return nil, &Error{Pos: pos, Message: "this expression is not supported"}
	}
}

func (b *builder) pair(l, r *pg_query.Node, depth int) (left, right term, err *Error) {
	if left, err = b.term(l, depth+1); err == nil {
		right, err = b.term(r, depth+1)
	}
	return left, right, err
}

// between is two comparisons, typed one by one as in Postgres.
func (b *builder) between(e *pg_query.A_Expr, pos, depth int) (node, *Error) {
	bounds := e.Rexpr.GetList().GetItems()
	if len(bounds) != 2 {
		return nil, &Error{Pos: pos, Message: "BETWEEN takes two bounds"}
	}
	not := e.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN
	return b.range2(e.Lexpr, [2]*pg_query.Node{bounds[0], bounds[1]}, not, pos, depth)
}

// betweenSymmetric is BETWEEN with the bounds in either order.
func (b *builder) betweenSymmetric(e *pg_query.A_Expr, pos, depth int) (node, *Error) {
	bounds := e.Rexpr.GetList().GetItems()
	if len(bounds) != 2 {
		return nil, &Error{Pos: pos, Message: "BETWEEN takes two bounds"}
	}
	not := e.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM
	one, err := b.range2(e.Lexpr, [2]*pg_query.Node{bounds[0], bounds[1]}, not, pos, depth)
	if err != nil {
		return nil, err
	}
	other, err := b.range2(e.Lexpr, [2]*pg_query.Node{bounds[1], bounds[0]}, not, pos, depth)
	if err != nil {
		return nil, err
	}
	if not {
		return b.conjunction(one, other), nil
	}
	return b.disjunction(one, other), nil
}

func (b *builder) range2(subject *pg_query.Node, bounds [2]*pg_query.Node, not bool, pos, depth int) (node, *Error) {
	var sides [2]node
	ops := [2]operator{opGreaterEqual, opLessEqual}
	if not {
		ops = [2]operator{opLess, opGreater}
	}
	for i, bound := range bounds {
		left, right, err := b.rememberedPair(subject, bound, depth)
		if err != nil {
			return nil, err
		}
		if sides[i], err = b.compare(ops[i], left, right, pos); err != nil {
			return nil, err
		}
	}
	if not {
		return b.disjunction(sides[:]...), nil
	}
	return b.conjunction(sides[:]...), nil
}

// compare builds left op right.
func (b *builder) compare(op operator, left, right term, pos int) (node, *Error) {
	var err *Error
	if left, right, err = b.unify(left, right); err != nil {
		return nil, err
	}
	if left.k == value.Bool && right.k == value.Bool {
		return b.compareBooleans(op, left, right)
	}
	plan, ok := planComparison(left.k, right.k)
	if left.form == formExpr || right.form == formExpr || !ok || left.k == value.Enum && left.form == right.form || !left.k.IsOrdered() && !op.isEquality() {
		return b.compareExprs(op, left, right, pos)
	}
	if left.c.Null && left.form == formConst || right.c.Null && right.form == formConst {
		return &literalNode{isUnknown}, nil
	}
	if err := b.checkFloatRange(plan.domain, left, right); err != nil {
		return nil, err
	}
	switch {
	case left.form == formColumn && right.form == formColumn:
		return &compareColumnsNode{op, left.column, right.column, plan.left, plan.right}, nil
	case left.form == formColumn || right.form == formColumn:
		if right.form == formColumn {
			op, left, right = op.mirrored(), right, left
			plan.left, plan.right = plan.right, plan.left
		}
		n, err := compareConst(op, left.column, plan.left, plan.right, right)
		if err != nil {
			return nil, err
		}
		return n, nil
	}
	var l, r value.Operand
	if err := left.c.Read(&l, plan.left); err != nil {
		return nil, inputAt(err, left.pos, left.param)
	}
	if err := right.c.Read(&r, plan.right); err != nil {
		return nil, inputAt(err, right.pos, right.param)
	}
	return &literalNode{truthOf(op.holds(plan.domain.Compare(&l, &r)))}, nil
}

// unify lets an untyped side take the type of the other one; two untyped sides are text.
func (b *builder) unify(left, right term) (l, r term, err *Error) {
	k := max(left.k, right.k)
	for _, side := range [][2]*term{{&left, &right}, {&right, &left}} { // whole numbers are oids beside one
		if side[0].k == value.OID && side[1].k.IsInt() && side[1].form == formConst {
			if *side[1], err = b.cast(*side[1], value.OID, side[1].pos); err != nil {
				return left, right, err
			}
		}
	}
	switch {
	case left.k != value.Unknown && right.k != value.Unknown, k.IsOpaque():
		return left, right, nil
	case k == value.Unknown, k == value.Varchar:
		k = value.Text
	case k == value.Cidr: // which has no operators but those of inet
		k = value.Inet
	case k == value.Enum:
		if left, err = b.resolveEnum(left, right.enum); err == nil {
			right, err = b.resolveEnum(right, left.enum)
		}
		return left, right, err
	}
	if left, err = b.resolve(left, k); err == nil {
		right, err = b.resolve(right, k)
	}
	return left, right, err
}

func (b *builder) compareBooleans(op operator, left, right term) (node, *Error) {
	l, err := b.asCondition(left, op.String())
	if err != nil {
		return nil, err
	}
	r, err := b.asCondition(right, op.String())
	if err != nil {
		return nil, err
	}
	return &boolCompareNode{op, l, r}, nil
}

func (b *builder) noOperator(op string, left, right term, pos int) *Error {
	err := &Error{Pos: pos, Message: fmt.Sprintf("operator does not exist: %s %s %s", left.typeName(b), op, right.typeName(b))}
	switch {
	case left.k.IsOpaque() || right.k.IsOpaque():
		err.Hint = b.opaqueHint(left, right)
	case (op == "@>" || op == "<@") && (left.k == value.Unknown || right.k == value.Unknown):
		err.Hint = "cast the constant to the type that is meant: '[1,5)'::int4range"
	case left.k.IsRange() || right.k.IsRange():
		err.Hint = "a range is compared with ranges of its type, or with values of the type of its bounds; cast one of them"
	case left.k.IsTime() && right.k.IsTime():
		err.Message = fmt.Sprintf("cannot compare %s with %s", left.k, right.k)
		err.Hint = "the result would depend on the session's time zone"
	}
	return err
}

// checkFloatRange refuses to compare a numeric column with floats unless its precision keeps it in their range: for
// other values Postgres raises an error, in the middle of a snapshot.
func (b *builder) checkFloatRange(d value.Domain, terms ...term) *Error {
	const safeDigits = 300
	for _, t := range terms {
		if d != value.DomainFloat || t.form != formColumn || t.k != value.Numeric {
			continue
		}
		mod := b.table.Columns[t.column.index].TypeMod - 4
		precision, scale := numericMod(mod)
		if mod < 0 || precision-scale > safeDigits || scale > safeDigits {
			return &Error{
				Pos: t.pos, Message: fmt.Sprintf("numeric column %q cannot be compared with floating point numbers", t.column.name),
				Hint: "its values may be out of their range; compare with a numeric: '1.5'::numeric",
			}
		}
	}
	return nil
}

// compareExprs builds left op right for operands that the specialised nodes do not serve.
func (b *builder) compareExprs(op operator, left, right term, pos int) (node, *Error) {
	r, err := b.relate(op.String(), left, right, pos)
	if err != nil {
		return nil, err
	}
	if !r.ordered && !op.isEquality() {
		return nil, &Error{Pos: pos, Message: fmt.Sprintf("operator %s is not supported on %s", op, r.left.typeName()), Hint: "only = and <> are"}
	}
	if isNullConst(r.left) || isNullConst(r.right) {
		return &literalNode{isUnknown}, nil
	}
	if r.left.k == value.Enum {
		return b.compareLabels(op, r, pos)
	}
	return &compareExprNode{r, op}, nil
}

func isNullConst(s scalar) bool {
	c, ok := s.expr.(*constExpr)
	return ok && c.c.Null
}

// distinct builds IS [NOT] DISTINCT FROM.
func (b *builder) distinct(left, right term, not bool, pos int) (node, *Error) {
	if left.form == formBool || right.form == formBool || left.k == value.Bool || right.k == value.Bool {
		var err *Error
		if left, err = b.resolve(left, value.Bool); err != nil {
			return nil, err
		}
		if right, err = b.resolve(right, value.Bool); err != nil {
			return nil, err
		}
	}
	for _, side := range [][2]*term{{&left, &right}, {&right, &left}} {
		if err := b.nullOf(side[1], side[0]); err != nil {
			return nil, err
		}
	}
	for _, side := range [][2]term{{left, right}, {right, left}} {
		if side[0].composite {
			return nil, b.noOperator("=", left, right, pos)
		}
		if side[1].form == formConst && side[1].c.Null && side[0].k != value.Unknown {
			return b.isNull(side[0], !not)
		}
	}
	r, err := b.relate("=", left, right, pos)
	if err != nil {
		return nil, err
	}
	return &distinctNode{r, not}, nil
}

// nullOf makes a parameter that is NULL a NULL of the type of what it is compared with.
func (b *builder) nullOf(t, other *term) (err *Error) {
	if t.form != formParam || t.k != value.Unknown || b.params[t.param-1] != nil || other.k == value.Unknown {
		return nil
	}
	if other.enum != nil {
		*t, err = b.resolveEnum(*t, other.enum)
	} else {
		*t, err = b.resolve(*t, other.k)
	}
	return err
}
