package predicate

import (
	"errors"
	"fmt"
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// term is an operand before it meets the other one: exactly one of a column, a constant (typed, or still unknown), a
// parameter (still unknown), a boolean expression or another expression.
type term struct {
	form   termForm
	k      value.Kind
	column column
	c      value.Constant // for unknown literals only text and null are set
	param  int            // $n of an untyped parameter, and of a typed constant that came from one (0: none)
	bool   node
	x      scalar // the expression; k is its type in the user's text, where x may be wider
	enum   *enumType
	pos    int

	composite bool // a column of a composite type
}

type termForm uint8

const (
	formColumn termForm = iota
	formConst
	formParam
	formBool
	formExpr
)

// term reads an operand.
func (b *builder) term(n *pg_query.Node, depth int) (term, *Error) {
	pos := b.position(n)
	if depth > maxDepth {
		return term{}, tooDeep(pos)
	}
	if built, ok := b.built[n]; ok {
		return b.again(built), nil
	}
	switch n := n.GetNode().(type) {
	case *pg_query.Node_ColumnRef:
		return b.columnTerm(n.ColumnRef, pos)
	case *pg_query.Node_AConst:
		return b.constTerm(n.AConst, pos)
	case *pg_query.Node_ParamRef:
		return b.paramTerm(int(n.ParamRef.Number), pos)
	case *pg_query.Node_TypeCast:
		return b.castTerm(n.TypeCast, depth)
	case *pg_query.Node_AExpr:
		name := operatorName(n.AExpr)
		switch _, compares := operatorOf(name); {
		case n.AExpr.Kind == pg_query.A_Expr_Kind_AEXPR_NULLIF:
			return b.nullif(n.AExpr, b.at(n.AExpr.Location), depth)
		case n.AExpr.Kind == pg_query.A_Expr_Kind_AEXPR_OP && (!compares || n.AExpr.Lexpr == nil):
			return b.operation(name, n.AExpr, b.at(n.AExpr.Location), depth)
		}
	case *pg_query.Node_FuncCall:
		return b.call(n.FuncCall, pos, depth)
	case *pg_query.Node_CoalesceExpr:
		return b.coalesce(n.CoalesceExpr, pos, depth)
	case *pg_query.Node_MinMaxExpr:
		return b.extreme(n.MinMaxExpr, pos, depth)
	case *pg_query.Node_AArrayExpr:
		return b.arrayTerm(n.AArrayExpr, pos, depth)
	case *pg_query.Node_AIndirection:
		return b.subscript(n.AIndirection, pos, depth)
	case *pg_query.Node_CaseExpr:
		return b.caseTerm(n.CaseExpr, pos, depth)
	case *pg_query.Node_CollateClause:
		return b.collate(n.CollateClause, pos, depth)
	}
	e, err := b.boolean(n, depth)
	if err != nil {
		return term{}, err
	}
	return term{form: formBool, k: value.Bool, bool: e, pos: pos}, nil
}

func (b *builder) columnTerm(ref *pg_query.ColumnRef, pos int) (term, *Error) {
	names := make([]string, 0, len(ref.Fields))
	for _, f := range ref.Fields {
		s := f.GetString_()
		if s == nil {
			return term{}, &Error{Pos: pos, Message: "* is not a column"}
		}
		names = append(names, s.Sval)
	}
	i, err := b.findColumn(names, pos)
	if err != nil {
		return term{}, b.correlated(err, names, pos)
	}
	c := &b.table.Columns[i]
	k, known := value.KindOfOID(c.TypeOID)
	switch {
	case c.Composite:
		return term{form: formColumn, k: value.Opaque, pos: pos, column: column{index: i, name: c.Name, k: value.Opaque}, composite: true}, nil
	case !known && c.Enum != nil:
		return term{
			form: formColumn, k: value.Enum, pos: pos, column: column{index: i, name: c.Name, k: value.Enum},
			enum: &enumType{c.TypeOID, c.typeName(), c.Enum},
		}, nil
	case !known && c.isCitext():
		k = value.Quoted
	case !known, c.Domain && k.IsArray(): // an array of a domain's would be another type
		k = value.Opaque
	}
	return term{form: formColumn, k: k, pos: pos, column: column{i, c.Name, k, c.NonDeterministic, c.Domain}}, nil
}

func (b *builder) constTerm(c *pg_query.A_Const, pos int) (term, *Error) {
	t := term{form: formConst, pos: pos}
	switch v := c.Val.(type) {
	case *pg_query.A_Const_Ival:
		return numberTerm(strconv.Itoa(int(v.Ival.GetIval())), pos)
	case *pg_query.A_Const_Fval:
		return numberTerm(v.Fval.GetFval(), pos)
	case *pg_query.A_Const_Boolval:
		text := "f"
		if v.Boolval.GetBoolval() {
			text = "t"
		}
		t.k = value.Bool
		t.c = value.Constant{Kind: value.Bool, Text: text}
	case *pg_query.A_Const_Sval:
		t.c.Text = v.Sval.GetSval()
		if invalidUTF8(t.c.Text) >= 0 {
			return term{}, &Error{Pos: pos, Message: "the string is not valid UTF-8"}
		}
	default:
		if bits := c.GetBsval(); bits != nil {
			return bitsTerm(bits.GetBsval(), pos)
		}
		t.c.Null = true
	}
	return t, nil
}

// bitsTerm is B'101' or X'1f', which the grammar writes b101 and x1f.
func bitsTerm(text string, pos int) (term, *Error) {
	c, err := value.ParseConstant(value.BitString, text)
	if err != nil {
		return term{}, inputAt(err, pos, 0)
	}
	return exprTermConst(c, pos), nil
}

// numberTerm types a number as Postgres does: integer if it fits, else bigint, else numeric.
func numberTerm(text string, pos int) (term, *Error) {
	c, err := value.NumberConstant(text)
	if err != nil {
		return term{}, inputAt(err, pos, 0)
	}
	return term{form: formConst, k: c.Kind, c: c, pos: pos}, nil
}

// paramTerm is $n: untyped at its first use, of the type found there afterwards.
func (b *builder) paramTerm(n, pos int) (term, *Error) {
	if n < 1 || n > len(b.params) {
		return term{}, &Error{Pos: pos, Message: fmt.Sprintf("parameter $%d was not provided (there are %d)", n, len(b.params))}
	}
	b.paramUsed[n-1] = true
	t := term{form: formParam, param: n, pos: pos}
	if k := b.paramKind[n-1]; k != value.Unknown && k != value.Enum { // an enum's label finds its type each time
		return b.resolve(t, k)
	}
	return t, nil
}

// resolve gives an untyped literal or parameter the kind its context asks for; other terms pass unchanged.
func (b *builder) resolve(t term, k value.Kind) (term, *Error) {
	switch {
	case t.k != value.Unknown:
		return t, nil
	case t.form == formConst && t.c.Null:
		t.k, t.c = k, value.Constant{Kind: k, Null: true}
		return t, nil
	case t.form == formParam && b.paramKind[t.param-1] == value.Enum:
		return term{}, &Error{Pos: t.pos, Message: fmt.Sprintf("type conflict for $%d: enum and %s", t.param, k)}
	case t.form == formParam:
		b.paramKind[t.param-1] = k
		given := b.params[t.param-1]
		if t.form = formConst; given == nil {
			t.k, t.c = k, value.Constant{Kind: k, Null: true}
			return t, nil
		}
		t.c.Text = *given
		if k.IsArray() {
			t.c.Text = value.ArrayOfJSON(*given)
		}
	}
	c, err := value.ParseConstant(k, t.c.Text)
	if err != nil {
		return term{}, inputAt(err, t.pos, t.param)
	}
	t.k, t.c = k, c
	return t, nil
}

// inputAt places an *InputError; param names the parameter it came from, if any.
func inputAt(err error, pos, param int) *Error {
	e := &Error{Pos: pos, Message: err.Error()}
	if input, ok := errors.AsType[*value.InputError](err); ok {
		e.Hint = input.Hint
	}
	if param > 0 {
		e.Message = fmt.Sprintf("parameter $%d: %s", param, e.Message)
	}
	return e
}

func exprTermConst(c value.Constant, pos int) term {
	return term{form: formConst, k: c.Kind, c: c, pos: pos}
}

func conditionTerm(n node, pos int) term {
	return term{form: formBool, k: value.Bool, bool: n, pos: pos}
}
