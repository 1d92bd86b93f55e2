package predicate

type (
	// andNode and orNode have at least two arguments, none of them of the same type as the node itself.
	andNode struct{ args []node }
	orNode  struct{ args []node }
	notNode struct{ arg node }

	// literalNode is TRUE, FALSE or NULL.
	literalNode struct{ value truth }

	// boolColumnNode is a bare boolean column.
	boolColumnNode struct{ column column }

	// isNode is arg IS [NOT] TRUE, FALSE or UNKNOWN. (IS NULL of a boolean is IS UNKNOWN.)
	isNode struct {
		arg  node
		want truth
		not  bool
	}

	// nullNode is column IS [NOT] NULL.
	nullNode struct {
		column column
		not    bool
	}

	// boolCompareNode compares two boolean expressions.
	boolCompareNode struct {
		op          operator
		left, right node
	}
)

func (n *andNode) eval(row [][]byte) truth {
	out := isTrue
	for _, a := range n.args {
		if t := a.eval(row); t < out {
			if t == isFalse {
				return isFalse
			}
			out = t
		}
	}
	return out
}

func (n *orNode) eval(row [][]byte) truth {
	out := isFalse
	for _, a := range n.args {
		if t := a.eval(row); t > out {
			if t == isTrue {
				return isTrue
			}
			out = t
		}
	}
	return out
}

func (n *notNode) eval(row [][]byte) truth     { return isTrue - n.arg.eval(row) }
func (n *literalNode) eval(row [][]byte) truth { return n.value }

func (n *boolColumnNode) eval(row [][]byte) truth {
	v := cell(row, n.column.index)
	if v == nil {
		return isUnknown
	}
	return truthOf(len(v) == 1 && v[0] == 't')
}

func (n *isNode) eval(row [][]byte) truth {
	return truthOf((n.arg.eval(row) == n.want) != n.not)
}

func (n *nullNode) eval(row [][]byte) truth {
	return truthOf((cell(row, n.column.index) == nil) != n.not)
}

func (n *boolCompareNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	if l == isUnknown || r == isUnknown {
		return isUnknown
	}
	return truthOf(n.op.holds(int(l) - int(r)))
}

func (n *andNode) columns(add func(int)) {
	for _, a := range n.args {
		a.columns(add)
	}
}

func (n *orNode) columns(add func(int)) {
	for _, a := range n.args {
		a.columns(add)
	}
}

func (n *notNode) columns(add func(int))        { n.arg.columns(add) }
func (n *literalNode) columns(add func(int))    {}
func (n *boolColumnNode) columns(add func(int)) { add(n.column.index) }
func (n *isNode) columns(add func(int))         { n.arg.columns(add) }
func (n *nullNode) columns(add func(int))       { add(n.column.index) }

func (n *boolCompareNode) columns(add func(int)) {
	n.left.columns(add)
	n.right.columns(add)
}
