package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/value"
)

type (
	// temporalExpr is left op right where at least one is a date, a time or an interval; apply never fails within the bounds.
	temporalExpr struct {
		op          byte
		left, right scalar
		apply       func(l, r value.Datum) value.Datum
	}

	// mapExpr is a function of one argument, or of a constant and one argument.
	mapExpr struct {
		name  string
		first *value.Constant
		arg   scalar
		apply func(d value.Datum) value.Datum
	}
)

func (e *temporalExpr) eval(row [][]byte) value.Datum {
	l := e.left.eval(row)
	if l.Null {
		return l
	}
	r := e.right.eval(row)
	if r.Null {
		return r
	}
	return e.apply(l, r)
}

func (e *mapExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null {
		return d
	}
	return e.apply(d)
}

func (e *temporalExpr) columns(add func(int)) {
	e.left.columns(add)
	e.right.columns(add)
}
func (e *mapExpr) columns(add func(int)) { e.arg.columns(add) }

func addDays(minus bool) func(l, r value.Datum) value.Datum {
	return func(l, r value.Datum) value.Datum {
		switch {
		case value.IsInfinite(l.Int):
			return l
		case minus:
			return value.Datum{Int: l.Int - r.Int}
		}
		return value.Datum{Int: l.Int + r.Int}
	}
}

func addToStamp(minus bool) func(l, r value.Datum) value.Datum {
	return func(l, r value.Datum) value.Datum {
		if minus {
			r = negatedInterval(r)
		}
		return value.Datum{Int: value.AddInterval(l.Int, &r)}
	}
}

// addToTime wraps at midnight and looks at the interval's time only.
func addToTime(minus bool) func(l, r value.Datum) value.Datum {
	return func(l, r value.Datum) value.Datum {
		if minus {
			r.Int = -r.Int
		}
		micros := (l.Int + r.Int) % value.MicrosPerDay
		if micros < 0 {
			micros += value.MicrosPerDay
		}
		return value.Datum{Int: micros}
	}
}

func addIntervals(minus bool) func(l, r value.Datum) value.Datum {
	return func(l, r value.Datum) value.Datum {
		if minus {
			r = negatedInterval(r)
		}
		return value.Datum{Months: l.Months + r.Months, Days: l.Days + r.Days, Int: l.Int + r.Int}
	}
}

func negatedInterval(d value.Datum) value.Datum {
	return value.Datum{Months: -d.Months, Days: -d.Days, Int: -d.Int}
}

// intervalSignExpr is - interval.
type intervalSignExpr struct{ arg scalar }

func (e *intervalSignExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null {
		return d
	}
	return negatedInterval(d)
}

func (e *intervalSignExpr) columns(add func(int)) { e.arg.columns(add) }
