package predicate

import (
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"

	pg_query "github.com/pganalyze/pg_query_go/v6"
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
