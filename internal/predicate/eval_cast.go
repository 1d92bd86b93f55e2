package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

// castExpr converts a value to another kind; convert never fails.
type castExpr struct {
	arg     scalar
	to      value.Kind
	convert func(d value.Datum) value.Datum
}

func (e *castExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null {
		return d
	}
	return e.convert(d)
}

func (e *castExpr) columns(add func(int)) { e.arg.columns(add) }
