package predicate

import (
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

type (
	// foldExpr is lower() or upper() under COLLATE "C": of ASCII letters only.
	foldExpr struct {
		upper bool
		arg   scalar
	}

	// lengthExpr counts characters.
	lengthExpr struct{ arg scalar }

	// concatExpr joins texts: || is NULL if one of them is, concat() leaves those out.
	concatExpr struct {
		skipNull bool
		args     []scalar
	}
)

func (e *foldExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null {
		return d
	}
	if e.upper {
		out := make([]byte, len(d.Bytes))
		for i, c := range d.Bytes {
			if c >= 'a' && c <= 'z' {
				c -= 'a' - 'A'
			}
			out[i] = c
		}
		d.Bytes = out
	} else {
		d.Bytes = like.Fold(make([]byte, 0, len(d.Bytes)), d.Bytes)
	}
	return d
}

func (e *lengthExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null {
		return d
	}
	text := d.Bytes
	if e.arg.k == value.Bpchar {
		text = value.TrimBlanks(text)
	}
	return value.Datum{Int: characters(text)}
}

func (e *concatExpr) eval(row [][]byte) value.Datum {
	out := make([]byte, 0, 64)
	for _, a := range e.args {
		d := a.eval(row)
		switch {
		case !d.Null:
			out = append(out, d.Bytes...)
		case !e.skipNull:
			return value.Null
		}
	}
	return value.Datum{Bytes: out}
}

func (e *foldExpr) columns(add func(int))   { e.arg.columns(add) }
func (e *lengthExpr) columns(add func(int)) { e.arg.columns(add) }
func (e *concatExpr) columns(add func(int)) { columnsOf(e.args, add) }

func characters(s []byte) int64 { return int64(utf8.RuneCount(s)) }
