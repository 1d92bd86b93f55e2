package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

// caseExpr is CASE: of the first condition that is TRUE what stands behind it, else otherwise.
type caseExpr struct {
	when      []node
	then      []scalar
	otherwise scalar
}

func (e *caseExpr) eval(row [][]byte) value.Datum {
	for i, n := range e.when {
		if n.eval(row) == isTrue {
			return e.then[i].eval(row)
		}
	}
	return e.otherwise.eval(row)
}

func (e *caseExpr) columns(add func(int)) {
	for _, n := range e.when {
		n.columns(add)
	}
	columnsOf(e.then, add)
	e.otherwise.columns(add)
}
