package predicate

// Equality is a term column = value that every matching row satisfies.
type Equality struct {
	Column int
	Value  []byte // what Postgres prints for the column in a matching row; not to be changed
}

// EqualityTerms returns the equalities that the clause requires at its top level, in the order of the clause, for an
// index on the text of columns. Only kinds whose equal values have equal text count: bool, integers, text, varchar,
// uuid and date.
func (p *Predicate) EqualityTerms() []Equality {
	terms := []node{p.root}
	if and, ok := p.root.(*andNode); ok {
		terms = and.args
	}
	var out []Equality
	for _, t := range terms {
		if e, ok := equalityOf(t); ok {
			out = append(out, e)
		}
	}
	return out
}

func equalityOf(n node) (Equality, bool) {
	switch n := n.(type) {
	case *compareConstNode:
		if n.op == opEqual && n.sameText != nil {
			return Equality{n.column.index, n.sameText}, true
		}
	case *boolColumnNode:
		return Equality{n.column.index, []byte("t")}, true
	case *notNode:
		if c, ok := n.arg.(*boolColumnNode); ok {
			return Equality{c.column.index, []byte("f")}, true
		}
	case *isNode:
		if c, ok := n.arg.(*boolColumnNode); ok && !n.not && n.want != isUnknown {
			return Equality{c.column.index, boolBytes(n.want == isTrue)}, true
		}
	case *boolCompareNode:
		c, isColumn := n.left.(*boolColumnNode)
		l, isLiteral := n.right.(*literalNode)
		if isColumn && isLiteral && n.op == opEqual && l.value != isUnknown {
			return Equality{c.column.index, boolBytes(l.value == isTrue)}, true
		}
	}
	return Equality{}, false
}

func boolBytes(b bool) []byte {
	if b {
		return []byte("t")
	}
	return []byte("f")
}
