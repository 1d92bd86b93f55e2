package predicate

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// like builds [NOT] LIKE and ILIKE.
func (b *builder) like(e *pg_query.A_Expr, pos, depth int) (node, *Error) {
	name := operatorName(e)
	fold, not := strings.HasSuffix(name, "*"), strings.HasPrefix(name, "!")
	left, err := b.term(e.Lexpr, depth+1)
	if err != nil {
		return nil, err
	}
	pattern, err := b.pattern(e.Rexpr, depth)
	if err != nil {
		return nil, err
	}
	out, err := b.likeNode(left, pattern, fold, pos)
	if err != nil {
		return nil, err
	}
	if not {
		out = &notNode{out}
	}
	return out, nil
}

// pattern reads the right side, where the grammar puts ESCAPE as a call of like_escape.
func (b *builder) pattern(n *pg_query.Node, depth int) (term, *Error) {
	call := n.GetFuncCall()
	if call == nil || len(call.Args) != 2 || len(call.Funcname) != 2 ||
		call.Funcname[0].GetString_().GetSval() != "pg_catalog" || call.Funcname[1].GetString_().GetSval() != "like_escape" {
		return b.term(n, depth+1)
	}
	pattern, escape, err := b.pair(call.Args[0], call.Args[1], depth)
	if err != nil {
		return term{}, err
	}
	for _, t := range []*term{&pattern, &escape} {
		if *t, err = b.resolve(*t, value.Text); err != nil {
			return term{}, err
		}
		if t.form != formConst || !t.k.IsText() {
			return term{}, &Error{Pos: t.pos, Message: "LIKE and ESCAPE take text constants, not " + t.typeName(b)}
		}
	}
	if pattern.c.Null || escape.c.Null {
		pattern.c = value.Constant{Kind: value.Text, Null: true}
		return pattern, nil
	}
	text, eerr := like.Escape(pattern.c.Text, escape.c.Text)
	if eerr != nil {
		return term{}, inputAt(eerr, escape.pos, escape.param)
	}
	pattern.c.Text = text
	return pattern, nil
}

func (b *builder) likeQuantified(name string, all bool, left, right term) (node, *Error) {
	a := b.scalar(right)
	c, ok := a.expr.(*constExpr)
	if !ok || c.c.Null || !a.k.Element().IsText() || a.k.Element() == value.Bpchar || !left.k.IsText() {
		return nil, &Error{Pos: right.pos, Message: "LIKE with ANY and ALL takes an array constant of text patterns"}
	}
	patterns := make(map[string]like.Pattern)
	for _, e := range c.value.Array.Elements {
		if e.Null {
			continue
		}
		p, err := like.Compile(string(e.Bytes), name[len(name)-1] == '*')
		if err != nil {
			return nil, inputAt(err, right.pos, right.param)
		}
		patterns[string(e.Bytes)] = p
	}
	var err *Error
	if a, err = a.convert(value.Text|value.ArrayOf, right.pos); err != nil {
		return nil, err
	}
	var buffers like.Buffers
	not := name[0] == '!'
	steps := func(text float64) float64 {
		most := 0.0
		for _, p := range patterns {
			most = max(most, p.Steps(text))
		}
		return most
	}
	return &quantifiedNode{name: name, all: all, left: b.scalar(left), array: a, test: func(l, e *value.Datum) bool {
		p := patterns[string(e.Bytes)]
		return p.Match(l.Bytes, &buffers) != not
	}, steps: steps}, nil
}

// likeTerm is the operator form of LIKE.
func (b *builder) likeTerm(name string, left, right term, pos int) (term, *Error) {
	n, err := b.likeNode(left, right, strings.HasSuffix(name, "*"), pos)
	if err != nil {
		return term{}, err
	}
	if strings.HasPrefix(name, "!") {
		n = &notNode{n}
	}
	return term{form: formBool, k: value.Bool, bool: n, pos: pos}, nil
}

func (b *builder) likeFunction(c call) (term, *Error) {
	return b.likeTerm("~~", c.args[0], c.args[1], c.pos)
}

// likeNode builds text [I]LIKE pattern.
func (b *builder) likeNode(left, pattern term, fold bool, pos int) (node, *Error) {
	var err *Error
	if left, err = b.resolve(left, value.Text); err != nil {
		return nil, err
	}
	if pattern, err = b.resolve(pattern, value.Text); err != nil {
		return nil, err
	}
	if !left.k.IsText() || !pattern.k.IsText() {
		return nil, b.noOperator(map[bool]string{false: "~~", true: "~~*"}[fold], left, pattern, pos)
	}
	if pattern.form == formConst && !pattern.c.Null {
		return b.likeConst(left, pattern, fold)
	}
	if left.form == formConst && left.c.Null || pattern.form == formConst {
		return &literalNode{isUnknown}, nil
	}
	p, err := b.scalar(pattern).convert(value.Text, pattern.pos)
	if err != nil {
		return nil, err
	}
	if _, ok := p.expr.(*patternExpr); !ok {
		p = scalar{expr: &patternExpr{p}, k: value.Text}
	}
	return &likeExprNode{text: b.likeText(left), pattern: p, fold: fold}, nil
}

// likeText is the left side, which keeps the padding of char(n).
func (b *builder) likeText(t term) scalar { return b.scalar(t) }

func (b *builder) likeConst(left, pattern term, fold bool) (node, *Error) {
	if left.form == formConst && left.c.Null {
		return &literalNode{isUnknown}, nil
	}
	text := pattern.c.Text
	if pattern.k == value.Bpchar {
		text = strings.TrimRight(text, " ")
	}
	match, merr := like.Compile(text, fold)
	if merr != nil {
		return nil, inputAt(merr, pattern.pos, pattern.param)
	}
	switch left.form {
	case formColumn:
		return &likeNode{column: left.column, pattern: text, match: match}, nil
	case formConst:
		return &literalNode{truthOf(match.Match([]byte(left.c.Text), &like.Buffers{}))}, nil
	default: // an expression
		p := newConst(value.Constant{Kind: value.Text, Text: text})
		return &likeExprNode{text: b.likeText(left), pattern: p, fold: fold, match: &match}, nil
	}
}
