package predicate

import (
	"cmp"
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// conjunction and disjunction join nodes, flatten nested ones of their own type, and bring the operands into one order
// without repeats, so that clauses that differ in nothing else are one shape.
func (b *builder) conjunction(args ...node) node {
	var flat []node
	for _, a := range args {
		if and, ok := a.(*andNode); ok {
			flat = append(flat, and.args...)
		} else {
			flat = append(flat, a)
		}
	}
	if flat = b.inOrder(flat); len(flat) == 1 {
		return flat[0]
	}
	return &andNode{flat}
}

func (b *builder) disjunction(args ...node) node {
	var flat []node
	for _, a := range args {
		if or, ok := a.(*orNode); ok {
			flat = append(flat, or.args...)
		} else {
			flat = append(flat, a)
		}
	}
	if flat = b.inOrder(flat); len(flat) == 1 {
		return flat[0]
	}
	return &orNode{flat}
}

// cost ranks conditions: the specialised nodes first, then patterns, then general expressions.
func cost(n node) int {
	switch n := n.(type) {
	case *literalNode, *boolColumnNode, *nullNode, *compareConstNode, *compareColumnsNode, *inNode:
		return 0
	case *notNode:
		return cost(n.arg)
	case *isNode:
		return cost(n.arg)
	case *likeNode, *regexNode:
		return 1
	case *andNode:
		return costOf(n.args)
	case *orNode:
		return costOf(n.args)
	default:
		return 2
	}
}

func costOf(args []node) int {
	most := 0
	for _, a := range args {
		most = max(most, cost(a))
	}
	return most
}

// inOrder sorts by cost, since what comes first often decides, and by what the operands print as, and drops repeats.
func (b *builder) inOrder(args []node) []node {
	type printed struct {
		node node
		sql  string
		cost int
	}
	all := make([]printed, len(args))
	for i, a := range args {
		all[i].node, all[i].cost = a, cost(a)
		if b.printed > maxWork {
			continue // refused in the end
		}
		var p printer
		a.print(&p)
		if b.printed += p.Len(); p.full || p.Len() > maxPrinted { // so is the whole
			b.printed = maxWork + 1
		}
		all[i].sql = p.String()
	}
	if b.printed > maxWork {
		return args
	}
	slices.SortStableFunc(all, func(a, b printed) int { return cmp.Or(a.cost-b.cost, strings.Compare(a.sql, b.sql)) })
	out := args[:0:0]
	for i, a := range all {
		if i == 0 || a.sql != all[i-1].sql {
			out = append(out, a.node)
		}
	}
	return out
}

func (b *builder) boolExpr(e *pg_query.BoolExpr, depth int) (node, *Error) {
	var name string
	switch e.Boolop {
	case pg_query.BoolExprType_AND_EXPR:
		name = "AND"
	case pg_query.BoolExprType_OR_EXPR:
		name = "OR"
	default:
		name = "NOT"
	}
	args := make([]node, 0, len(e.Args))
	for _, a := range e.Args {
		arg, err := b.condition(a, name, depth+1)
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
	}
	switch name {
	case "AND":
		return b.conjunction(args...), nil
	case "OR":
		return b.disjunction(args...), nil
	}
	return &notNode{args[0]}, nil
}

func (b *builder) nullTest(e *pg_query.NullTest, depth int) (node, *Error) {
	t, err := b.term(e.Arg, depth+1)
	if err != nil {
		return nil, err
	}
	return b.isNull(t, e.Nulltesttype == pg_query.NullTestType_IS_NOT_NULL)
}

func (b *builder) booleanTest(e *pg_query.BooleanTest, depth int) (node, *Error) {
	n := &isNode{}
	var name string
	switch e.Booltesttype {
	case pg_query.BoolTestType_IS_TRUE:
		n.want, name = isTrue, "IS TRUE"
	case pg_query.BoolTestType_IS_NOT_TRUE:
		n.want, n.not, name = isTrue, true, "IS NOT TRUE"
	case pg_query.BoolTestType_IS_FALSE:
		n.want, name = isFalse, "IS FALSE"
	case pg_query.BoolTestType_IS_NOT_FALSE:
		n.want, n.not, name = isFalse, true, "IS NOT FALSE"
	case pg_query.BoolTestType_IS_UNKNOWN:
		n.want, name = isUnknown, "IS UNKNOWN"
	default:
		n.want, n.not, name = isUnknown, true, "IS NOT UNKNOWN"
	}
	var err *Error
	n.arg, err = b.condition(e.Arg, name, depth+1)
	return n, err
}

// isNull builds term IS [NOT] NULL.
func (b *builder) isNull(t term, not bool) (node, *Error) {
	switch t.form {
	case formColumn:
		if t.composite {
			return b.compositeNull(t.column, not), nil
		}
		return &nullNode{t.column, not}, nil
	case formBool:
		return &isNode{t.bool, isUnknown, not}, nil
	case formParam:
		return nil, b.undetermined(t)
	case formExpr:
		return &nullExprNode{t.x, not}, nil
	default: // a constant
		return &literalNode{truthOf(t.c.Null != not)}, nil
	}
}
