package predicate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// in builds [NOT] IN. As in Postgres, several constants are converted to one common type together with the left side
// (so float4 IN (1.1, 2.2) finds 1.1 and float4 = 1.1 does not), and members that are columns are compared on their own.
func (b *builder) in(e *pg_query.A_Expr, not bool, pos, depth int) (node, *Error) {
	items := e.Rexpr.GetList().GetItems()
	if len(items) > maxList {
		return nil, &Error{Pos: pos, Message: fmt.Sprintf("the IN list has %d members, at most %d are allowed", len(items), maxList)}
	}
	if isRow(e.Lexpr) {
		return b.rowIn(e.Lexpr, items, not, pos, depth)
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
	if common == value.Bool || common.IsOpaque() || left.form == formConst || left.form == formBool {
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

// inExpr builds the set, whose members have one type.
func (b *builder) inExpr(left term, members []term) (node, *Error) {
	n := &inExprNode{}
	for _, t := range members {
		if t.c.Null {
			n.hasNull = true
			continue
		}
		r, err := b.relate("=", left, t, t.pos)
		if err != nil {
			return nil, err
		}
		if _, ok := r.right.expr.(*constExpr); !ok {
			return nil, nil // compared one by one
		}
		n.left, n.compare = r.left, r.compare
		n.members = append(n.members, r.right)
	}
	if len(n.members) == 0 {
		return &literalNode{isUnknown}, nil
	}
	text := func(s scalar) string { return s.expr.(*constExpr).c.Text } //nolint:forcetypeassert,errcheck // all are constants
	slices.SortFunc(n.members, func(a, b scalar) int { return strings.Compare(text(a), text(b)) })
	n.members = slices.CompactFunc(n.members, func(a, b scalar) bool { return text(a) == text(b) })
	if len(n.members) == 1 && !n.hasNull {
		return &compareExprNode{relation{left: n.left, right: n.members[0], compare: n.compare, ordered: true}, opEqual}, nil
	}
	for _, m := range n.members {
		n.values = append(n.values, m.eval(nil))
	}
	if k := n.left.k; !k.IsArray() && k != value.JSONB {
		n.sorted = true
		slices.SortFunc(n.values, func(a, b value.Datum) int { return n.compare(&a, &b) })
	}
	return n, nil
}

// newInNode joins equalities of one column with constants of one kind into a set.
func newInNode(equalities []*compareConstNode, hasNull bool) node {
	n := &inNode{column: equalities[0].column, read: equalities[0].read, hasNull: hasNull}
	// By kind and text: 1.1 is not the same real as it is a double precision.
	seen := make(map[value.Constant]struct{}, len(equalities))
	byText := true
	for _, e := range equalities {
		if _, repeated := seen[e.c]; repeated {
			continue
		}
		seen[e.c] = struct{}{}
		n.items = append(n.items, e.c)
		n.values = append(n.values, e.operand())
		byText = byText && e.byText
		// Whole numbers beside an integer column are read as integers, but one fraction makes all of them numeric.
		n.read.Domain = max(n.read.Domain, e.read.Domain)
	}
	slices.SortFunc(n.items, func(a, b value.Constant) int {
		return cmp.Or(len(a.Text)-len(b.Text), strings.Compare(a.Text, b.Text), int(a.Kind)-int(b.Kind))
	})
	if len(n.items) == 1 && !hasNull {
		return equalities[0]
	}
	if byText {
		n.texts, n.values = make(map[string]struct{}, len(n.items)), nil
		for _, c := range n.items {
			n.texts[c.Text] = struct{}{}
		}
		return n
	}
	if n.read.Domain == value.DomainDecimal {
		for i, item := range n.items {
			n.values[i] = value.Operand{}
			value.ParseDecimal([]byte(item.Text), &n.values[i].Decimal)
		}
	}
	slices.SortFunc(n.values, func(a, b value.Operand) int { return n.read.Domain.Compare(&a, &b) })
	return n
}
