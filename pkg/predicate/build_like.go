package predicate

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// like builds [NOT] LIKE and ILIKE. The pattern must be a constant: a bad one in a column would be an error in the
// middle of a snapshot.
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
	if left, err = b.resolve(left, kindText); err != nil {
		return nil, err
	}
	if pattern, err = b.resolve(pattern, kindText); err != nil {
		return nil, err
	}
	if !left.k.isText() || !pattern.k.isText() {
		return nil, b.noOperator(strings.TrimPrefix(name, "!"), left, pattern, pos)
	}
	if pattern.form != formConst {
		return nil, &Error{Pos: pattern.pos, Message: "the pattern of LIKE must be a constant or a parameter"}
	}
	if left.c.null || pattern.c.null {
		return &literalNode{isUnknown}, nil
	}
	text := pattern.c.text
	if pattern.k == kindBpchar {
		text = strings.TrimRight(text, " ")
	}
	match, merr := compileLike(text, fold)
	if merr != nil {
		return nil, inputAt(merr, pattern.pos, pattern.param)
	}
	var out node
	if left.form == formColumn {
		out = &likeNode{column: left.column, pattern: text, match: match}
	} else {
		out = &literalNode{truthOf(match.match([]byte(left.c.text), &foldBuffers{}))}
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
		if *t, err = b.resolve(*t, kindText); err != nil {
			return term{}, err
		}
		if t.form != formConst || !t.k.isText() {
			return term{}, &Error{Pos: t.pos, Message: "LIKE and ESCAPE take text constants, not " + t.typeName(b)}
		}
	}
	if pattern.c.null || escape.c.null {
		pattern.c = constant{k: kindText, null: true}
		return pattern, nil
	}
	text, eerr := likeEscape(pattern.c.text, escape.c.text)
	if eerr != nil {
		return term{}, inputAt(eerr, escape.pos, escape.param)
	}
	pattern.c.text = text
	return pattern, nil
}
