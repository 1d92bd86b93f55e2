package predicate

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// asText converts an operand to text, or char(n) kept as it is if padded.
func (b *builder) asText(t term) (scalar, *Error) {
	t, err := b.resolve(t, value.Text)
	if err != nil {
		return scalar{}, err
	}
	return b.scalar(t).convert(value.Text, t.pos)
}

func (b *builder) textFunction(c call) (term, *Error) {
	t, err := b.resolve(c.args[0], value.Text)
	if err != nil {
		return term{}, err
	}
	if !t.k.IsText() {
		c.args[0] = t
		return term{}, b.noFunction(c)
	}
	s := b.scalar(t)
	if c.name != "lower" && c.name != "upper" {
		return exprTerm(scalar{expr: &lengthExpr{s}, k: value.Int4, bounds: bounds{hi: 31}}, c.pos), nil
	}
	if s, err = s.convert(value.Text, t.pos); err != nil {
		return term{}, err
	}
	return exprTerm(scalar{expr: &foldExpr{c.name == "upper", s}, k: value.Text}, c.pos), nil
}

// maxJoined bounds how many texts a clause may join into one, since each may be large.
const maxJoined = 100

func (b *builder) concat(c call) (term, *Error) {
	var args []scalar
	for _, t := range c.args {
		t, err := b.resolve(t, value.Text)
		if err != nil {
			return term{}, err
		}
		s := b.scalar(t)
		switch s.k {
		case value.Bpchar: // keeps its padding
		case value.Bool: // prints as t and f
			return term{}, b.noFunction(c).withHint("cast booleans to text")
		default:
			if s, err = s.convert(value.Text, t.pos); err != nil {
				return term{}, err
			}
		}
		args = append(args, s)
	}
	if len(args) == 0 || len(args) > maxJoined {
		return term{}, &Error{Pos: c.pos, Message: "concat takes 1 to 100 arguments"}
	}
	return b.joined(&concatExpr{true, args}, c.pos)
}

func (b *builder) joined(e *concatExpr, pos int) (term, *Error) {
	if b.joins += len(e.args); b.joins > maxJoined {
		return term{}, &Error{Pos: pos, Message: "the clause joins more than 100 texts"}
	}
	return exprTerm(scalar{expr: e, k: value.Text}, pos), nil
}

// concatenate builds ||: of texts, where one side may be anything that has a text, or of arrays.
func (b *builder) concatenate(left, right term, pos int) (term, *Error) {
	switch {
	case left.k.IsArray() || right.k.IsArray():
		return b.joinArrays(left, right, pos)
	case left.k == value.JSONB || right.k == value.JSONB, left.k.IsOpaque(), right.k.IsOpaque(),
		!left.k.IsText() && !right.k.IsText() && left.k != value.Unknown && right.k != value.Unknown:
		return term{}, b.noOperator("||", left, right, pos)
	}
	l, err := b.asText(left)
	if err != nil {
		return term{}, err
	}
	r, err := b.asText(right)
	if err != nil {
		return term{}, err
	}
	return b.joined(&concatExpr{false, []scalar{l, r}}, pos)
}

// collate reads COLLATE "C", which is how all text is ordered anyway.
func (b *builder) collate(e *pg_query.CollateClause, pos, depth int) (term, *Error) {
	name := lastName(e.Collname)
	if name != "C" || len(e.Collname) > 2 {
		return term{}, (&Error{Pos: pos, Message: "COLLATE is not supported"}).withHint("text is always ordered by its bytes, as under COLLATE \"C\"")
	}
	t, err := b.term(e.Arg, depth+1)
	if err != nil {
		return term{}, err
	}
	if t.k != value.Unknown && !t.k.Element().IsCollated() {
		return term{}, &Error{Pos: pos, Message: "collations are not supported by type " + t.typeName(b)}
	}
	return t, nil
}
