package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// expr is a typed scalar expression: the general form beside the nodes that are specialised for columns and constants.
// Expressions are immutable and safe for concurrent use; eval must not keep the row. It has a value, or NULL, for every
// row, also where Postgres would raise an error for the user's text: print then writes SQL that does not.
type expr interface {
	eval(row [][]byte) value.Datum
	weigh(s sizes) load // what eval takes and gives at most; see cost.go
	print(p *printer)
	columns(add func(column int))
}

// scalar is an expression with what is known of its values.
type scalar struct {
	expr

	k      value.Kind // as Postgres types what print writes; arithmetic on integers is wider than it is in the user's text
	bounds bounds
	enum   *enumType
}

// enumType identifies an enum and knows its labels in their order.
type enumType struct {
	oid    uint32
	name   string
	labels []string
}

type (
	// columnExpr is a column. Guarded ones read values that arithmetic could not cope with as NULL; see guard.go.
	columnExpr struct {
		column  column
		guarded bool
	}

	constExpr struct {
		c     value.Constant
		value value.Datum
	}

	// conditionExpr is a boolean expression as a value.
	conditionExpr struct{ arg node }

	// exprCondition is a scalar expression of type boolean as a condition.
	exprCondition struct{ arg expr }

	nullExprNode struct {
		arg scalar
		not bool
	}
)

func (e *columnExpr) eval(row [][]byte) value.Datum {
	text := cell(row, e.column.index)
	if text == nil {
		return value.Null
	}
	d, ok := value.ReadDatum(e.column.k, text)
	if !ok || e.guarded && !withinGuard(e.column.k, &d) {
		return value.Null
	}
	return d
}

func (e *constExpr) eval([][]byte) value.Datum { return e.value }

func (e *conditionExpr) eval(row [][]byte) value.Datum {
	switch e.arg.eval(row) {
	case isTrue:
		return value.Datum{Int: 1}
	case isFalse:
		return value.Datum{}
	default: // unknown
		return value.Null
	}
}

func (n *exprCondition) eval(row [][]byte) truth {
	d := n.arg.eval(row)
	if d.Null {
		return isUnknown
	}
	return truthOf(d.Int != 0)
}

func (n *nullExprNode) eval(row [][]byte) truth {
	d := n.arg.eval(row)
	return truthOf(d.Null != n.not)
}

func (e *columnExpr) columns(add func(int))    { add(e.column.index) }
func (e *constExpr) columns(func(int))         {}
func (e *conditionExpr) columns(add func(int)) { e.arg.columns(add) }
func (n *exprCondition) columns(add func(int)) { n.arg.columns(add) }
func (n *nullExprNode) columns(add func(int))  { n.arg.columns(add) }

type (
	// coalesceExpr is the first argument that is not NULL.
	coalesceExpr struct{ args []scalar }

	// extremeExpr is GREATEST or LEAST of the arguments that are not NULL.
	extremeExpr struct {
		least   bool
		args    []scalar
		compare func(a, b *value.Datum) int
		scan    float64 // as in relation
	}
)

func (e *coalesceExpr) eval(row [][]byte) value.Datum {
	for _, a := range e.args {
		if d := a.eval(row); !d.Null {
			return d
		}
	}
	return value.Null
}

func (e *extremeExpr) eval(row [][]byte) value.Datum {
	best := value.Null
	for _, a := range e.args {
		d := a.eval(row)
		if d.Null {
			continue
		}
		if best.Null {
			best = d
			continue
		}
		if c := e.compare(&d, &best); c != 0 && (c < 0) == e.least {
			best = d
		}
	}
	return best
}

func columnsOf(args []scalar, add func(int)) {
	for _, a := range args {
		a.columns(add)
	}
}

func (e *coalesceExpr) columns(add func(int)) { columnsOf(e.args, add) }

func (e *extremeExpr) columns(add func(int)) { columnsOf(e.args, add) }
