package predicate

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// exprTerm makes an operand of an expression. A constant stays one: what is built of it is what is built of the constant's
// SQL when it is read again.
func exprTerm(s scalar, pos int) term {
	if e, ok := s.expr.(*constExpr); ok {
		t := exprTermConst(e.c, pos)
		t.enum = s.enum
		return t
	}
	return term{form: formExpr, k: s.k, x: s, pos: pos}
}

// scalar makes an expression of any operand. An untyped one becomes text.
func (b *builder) scalar(t term) scalar {
	switch t.form {
	case formColumn:
		c := &b.table.Columns[t.column.index]
		s := scalar{expr: &columnExpr{column: t.column}, k: t.k, bounds: boundsOfKind(t.k), enum: t.enum}
		if mod := c.TypeMod - 4; t.k == value.Numeric && mod >= 0 {
			precision, scale := numericMod(mod)
			s.bounds = bounds{hi: bitsOfDigits(max(precision-scale, 0)), lo: -bitsOfDigits(max(scale, 0))}
		}
		if t.k.IsTemporal() {
			s.bounds = bounds{}
		}
		return s
	case formBool:
		return scalar{expr: &conditionExpr{t.bool}, k: value.Bool}
	case formExpr:
		return t.x
	default: // a constant: whoever asks has resolved parameters
		if t.c.Kind == value.Bool && !t.c.Null {
			return scalar{expr: &conditionExpr{&literalNode{truthOf(t.c.Text == "t")}}, k: value.Bool}
		}
		if t.c.Kind == value.Unknown {
			t.c.Kind = value.Text
		}
		if b.refused == nil && growsLong(t.c) {
			b.refused = tooLong(t.pos)
		}
		s := newConst(t.c)
		s.enum = t.enum
		return s
	}
}

func numericMod(mod int32) (precision, scale int) {
	return int(mod>>16) & 0xffff, int(mod&0x7ff^1024) - 1024
}

// operators that are not comparisons, by what they are called in the grammar.
func (b *builder) operation(name string, e *pg_query.A_Expr, pos, depth int) (term, *Error) {
	if e.Lexpr == nil {
		arg, err := b.term(e.Rexpr, depth+1)
		if err != nil {
			return term{}, err
		}
		return b.prefixOperation(name, arg, pos)
	}
	right := e.Rexpr
	if name == "@?" || name == "@@" {
		right = withoutPathCast(right)
	}
	l, r, err := b.pair(e.Lexpr, right, depth)
	if err != nil {
		return term{}, err
	}
	return b.binary(name, l, r, pos)
}

func (b *builder) prefixOperation(name string, arg term, pos int) (term, *Error) {
	switch name {
	case "+", "-", "@", "~", "|/":
	default:
		return term{}, refusedOperator(name, pos)
	}
	if arg.k == value.Unknown {
		return term{}, &Error{Pos: arg.pos, Message: "operator is not unique: " + name + " unknown", Hint: "cast the operand to the type that is meant"}
	}
	if arg.k == value.Interval && name == "-" {
		return b.negateInterval(arg, pos)
	}
	if (name == "+" || name == "-") && arg.form == formConst && arg.k.IsNumber() && !arg.c.Null {
		if name == "+" {
			return arg, nil
		}
		c, err := value.Negated(arg.c)
		if err != nil {
			return term{}, inputAt(err, pos, 0)
		}
		arg.c = c
		return arg, nil
	}
	return b.unary(name, arg, pos)
}

// binary builds left name right for every operator but the comparisons.
func (b *builder) binary(name string, left, right term, pos int) (term, *Error) {
	switch name {
	case "~~", "!~~", "~~*", "!~~*":
		return b.likeTerm(name, left, right, pos)
	case "^@":
		return b.prefixOperator(left, right, pos)
	case "||":
		return b.concatenate(left, right, pos)
	case "@>", "<@", "&&", "?", "?|", "?&", "->", "->>", "#>", "#>>":
		return b.contain(name, left, right, pos)
	case "+", "-", "*", "/", "%", "^", "&", "|", "#":
	case "~", "~*", "!~", "!~*":
		return b.regexTerm(name, left, right, pos)
	case "@?", "@@":
		return b.jsonPathTest(name, left, right, pos)
	default:
		return term{}, refusedOperator(name, pos)
	}
	left, right, err := b.unifyArithmetic(name, left, right, pos)
	if err != nil {
		return term{}, err
	}
	switch {
	case left.k.IsNumber() && right.k.IsNumber():
		return b.arithmetic(name[0], left, right, pos)
	case left.k.IsTemporal() || right.k.IsTemporal():
		return b.temporal(name, left, right, pos)
	}
	return term{}, b.noOperator(name, left, right, pos)
}

// unifyArithmetic gives an untyped operand the type of the other one, or the only type that Postgres would find for it.
func (b *builder) unifyArithmetic(name string, left, right term, pos int) (l, r term, err *Error) {
	if left.k != value.Unknown && right.k != value.Unknown {
		return left, right, nil
	}
	ambiguous := &Error{Pos: pos, Message: "operator is not unique: " + left.typeName(b) + " " + name + " " + right.typeName(b), Hint: "cast the operand to the type that is meant"}
	known, k := max(left.k, right.k), value.Unknown
	switch {
	case known.IsNumber():
		k = known
	case known.IsStamp() && name == "+" && right.k == value.Unknown:
		k = value.Interval
	case (known.IsTime() || known == value.Interval) && name == "-", known == value.Interval && name == "+":
		k = known
	}
	if k == value.Unknown {
		return left, right, ambiguous
	}
	if left, err = b.resolve(left, k); err == nil {
		right, err = b.resolve(right, k)
	}
	return left, right, err
}

// commonTerms brings arguments to the type that Postgres chooses for all of them.
func (b *builder) commonTerms(what string, terms []term, pos int) (out []scalar, k value.Kind, err *Error) {
	kinds := make([]value.Kind, 0, len(terms))
	var enum *enumType
	for _, t := range terms {
		kinds = append(kinds, t.k)
		if t.enum != nil {
			enum = t.enum
		}
	}
	k, ok := value.CommonKind(kinds)
	if !ok || k.IsOpaque() {
		return nil, 0, &Error{Pos: pos, Message: fmt.Sprintf("%s types %s cannot be matched", what, b.typeNames(terms, " and "))}
	}
	physical := k
	for i := range terms {
		if k == value.Enum {
			terms[i], err = b.resolveEnum(terms[i], enum)
			if err == nil && terms[i].enum.oid != enum.oid {
				err = &Error{Pos: pos, Message: fmt.Sprintf("%s types %s cannot be matched", what, b.typeNames(terms, " and "))}
			}
		} else {
			terms[i], err = b.resolve(terms[i], k)
		}
		if err != nil {
			return nil, 0, err
		}
		s := b.scalar(terms[i])
		if k.IsInt() && s.k > physical {
			physical = s.k // wider than it is in the text
		}
		out = append(out, s)
	}
	for i := range out {
		if out[i], err = out[i].convert(physical, terms[i].pos); err != nil {
			return nil, 0, err
		}
	}
	return out, k, nil
}

func (b *builder) typeNames(terms []term, between string) string {
	names := make([]string, len(terms))
	for i := range terms {
		names[i] = terms[i].typeName(b)
	}
	return strings.Join(names, between)
}
