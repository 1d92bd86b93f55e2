package predicate

// operator is a comparison.
type operator uint8

const (
	opEqual operator = iota
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

func operatorOf(name string) (operator, bool) {
	switch name {
	case "=":
		return opEqual, true
	case "<>":
		return opNotEqual, true
	case "<":
		return opLess, true
	case "<=":
		return opLessEqual, true
	case ">":
		return opGreater, true
	case ">=":
		return opGreaterEqual, true
	}
	return 0, false
}

func (o operator) String() string {
	return [...]string{"=", "<>", "<", "<=", ">", ">="}[o]
}

func (o operator) isEquality() bool { return o == opEqual || o == opNotEqual }

// holds tells whether the operator is true of two values that compare as c (< 0, 0, > 0).
func (o operator) holds(c int) bool {
	switch o {
	case opEqual:
		return c == 0
	case opNotEqual:
		return c != 0
	case opLess:
		return c < 0
	case opLessEqual:
		return c <= 0
	case opGreater:
		return c > 0
	default: // opGreaterEqual
		return c >= 0
	}
}

// mirrored is the operator for swapped operands.
func (o operator) mirrored() operator {
	switch o {
	case opLess:
		return opGreater
	case opLessEqual:
		return opGreaterEqual
	case opGreater:
		return opLess
	case opGreaterEqual:
		return opLessEqual
	default: // equality is symmetric
		return o
	}
}

// negated is the operator that is true where this one is false.
func (o operator) negated() operator {
	return [...]operator{opNotEqual, opEqual, opGreaterEqual, opGreater, opLessEqual, opLess}[o]
}
