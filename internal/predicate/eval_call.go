package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

// callExpr is a function that gives NULL if one of its arguments is NULL, and else never fails.
type callExpr struct {
	name     string // as it is printed, in pg_catalog
	args     []scalar
	collated bool // the first argument is printed with its collation
	apply    func(args []value.Datum) value.Datum
	cost     callCost
}

// callCost is what a call takes beside its arguments: for each byte of the first one, for each of all of them, and how
// large what it gives is: so many times the first argument, and so many bytes more.
type callCost struct{ perByte, perArgument, perSquare, times, bytes float64 }

// maxArgs is how many arguments a callExpr has at most.
const maxArgs = 3

func (e *callExpr) eval(row [][]byte) value.Datum {
	var args [maxArgs]value.Datum
	for i, a := range e.args {
		if args[i] = a.eval(row); args[i].Null {
			return value.Null
		}
	}
	return e.apply(args[:len(e.args)])
}

func (e *callExpr) columns(add func(int)) { columnsOf(e.args, add) }
