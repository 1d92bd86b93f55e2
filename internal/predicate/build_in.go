package predicate

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/predicate/value"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// in builds [NOT] IN. As in Postgres, several constants are converted to one common type together with the left side
// (so float4 IN (1.1, 2.2) finds 1.1 and float4 = 1.1 does not), and members that are columns are compared on their own.
func (b *builder) in(e *pg_query.A_Expr, not bool, pos, depth int) (node, *Error) {
	items := e.Rexpr.GetList().GetItems()
	if len(items) > maxList {
		return nil, &Error{Pos: pos, Message: fmt.Sprintf("the IN list has %d members, at most %d are allowed", len(items), maxList)}
	}
	left, err := b.term(e.Lexpr, depth+1)
	if err != nil {
		return nil, err
	}
	members := make([]term, 0, len(items))
	for _, item := range items {
		t, err := b.term(item, depth+1)
		if err != nil {
			return nil, err
		}
		members = append(members, t)
	}
	return b.inTerms(left, members, not, pos)
}

// inTerms builds [NOT] IN of members.
func (b *builder) inTerms(left term, members []term, not bool, pos int) (node, *Error) {
	var constants, others []term
	for _, t := range members {
		if t.form == formConst || t.form == formParam {
			constants = append(constants, t)
		} else {
			others = append(others, t)
		}
	}
	var args []node
	set, err := b.inConstants(left, constants)
	if err != nil {
		return nil, err
	}
	if set != nil {
		args, constants = append(args, set), nil
	}
	for _, t := range append(constants, others...) {
		n, err := b.compare(opEqual, left, t, pos)
		if err != nil {
			return nil, err
		}
		args = append(args, n)
	}
	out := b.disjunction(args...)
	if not {
		out = &notNode{out}
	}
	return out, nil
}

// inConstants builds the set for several constants; nil if they are to be compared one by one.
func (b *builder) inConstants(left term, constants []term) (node, *Error) {
	if len(constants) < 2 {
		return nil, nil
	}
	kinds := []value.Kind{left.k}
	for _, t := range constants {
		kinds = append(kinds, t.k)
	}
	common, ok := value.CommonKind(kinds)
	if !ok {
		return nil, nil
	}
	left, err := b.resolve(left, common)
	if err != nil {
		return nil, err
	}
	for i, t := range constants {
		if common == value.Enum {
			constants[i], err = b.resolveEnum(t, left.enum)
		} else {
			constants[i], err = b.converted(t, common)
		}
		if err != nil {
			return nil, err
		}
	}
	if common == value.Bool || common == value.Opaque || left.form == formConst || left.form == formBool {
		return nil, nil
	}
	plan, ok := planComparison(left.k, common)
	if left.form == formExpr || !ok {
		return b.inExpr(left, constants)
	}
	if plan.left.Micros {
		return nil, nil // dates beside timestamps: Postgres' own conversion of the column could fail
	}
	if err := b.checkFloatRange(plan.domain, left); err != nil {
		return nil, err
	}
	return inSet(left.column, plan, constants)
}

// converted gives a member the common type.
func (b *builder) converted(t term, k value.Kind) (term, *Error) {
	t, err := b.resolve(t, k)
	if err != nil || t.k == k {
		return t, err
	}
	if !t.c.Null {
		c, cerr := value.CastConstant(t.c, k)
		if cerr != nil {
			return term{}, inputAt(cerr, t.pos, t.param)
		}
		t.c = c
	}
	t.k, t.c.Kind = k, k
	return t, nil
}

// inSet builds the set, or one comparison when a single value is left.
func inSet(c column, plan comparisonPlan, members []term) (node, *Error) {
	var (
		nodes   []*compareConstNode
		hasNull bool
	)
	for _, t := range members {
		if t.c.Null {
			hasNull = true
			continue
		}
		n, err := compareConst(opEqual, c, plan.left, plan.right, t)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	if len(nodes) == 0 {
		return &literalNode{isUnknown}, nil
	}
	return newInNode(nodes, hasNull), nil
}
