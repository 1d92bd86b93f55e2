package predicate

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/jsonpath"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// jsonPathTest builds @? and @@ on jsonb, whose right side is a constant.
func (b *builder) jsonPathTest(name string, left, right term, pos int) (term, *Error) {
	if name == "@@" && left.k == value.Unknown { // of texts it is text search
		return term{}, b.noOperator(name, left, right, pos)
	}
	left, err := b.resolve(left, value.JSONB)
	if err != nil {
		return term{}, err
	}
	switch {
	case left.k != value.JSONB && name == "@@":
		return term{}, refusedOperator(name, pos)
	case left.k != value.JSONB || right.k != value.Unknown:
		return term{}, b.noOperator(name, left, right, pos)
	}
	if right, err = b.resolve(right, value.Text); err != nil {
		return term{}, err
	}
	if right.c.Null {
		return conditionTerm(&literalNode{isUnknown}, pos), nil
	}
	compile := jsonpath.CompilePath
	if name == "@@" {
		compile = jsonpath.CompilePredicate
	}
	path, perr := compile(right.c.Text)
	if perr != nil {
		return term{}, inputAt(perr, right.pos, right.param)
	}
	return conditionTerm(&jsonPathNode{name: name, document: b.scalar(left), path: path}, pos), nil
}

// jsonPathFunction builds what has another name as an operator.
func (b *builder) jsonPathFunction(c call) (term, *Error) {
	return b.jsonPathTest(map[string]string{"jsonb_path_exists": "@?", "jsonb_path_match": "@@"}[c.name], c.args[0], c.args[1], c.pos)
}

// withoutPathCast is the constant that a cast makes a jsonpath of: where that is expected it is one without the cast.
func withoutPathCast(n *pg_query.Node) *pg_query.Node {
	cast := n.GetTypeCast()
	if cast == nil || cast.TypeName == nil || len(cast.TypeName.ArrayBounds) > 0 || !strings.EqualFold(lastName(cast.TypeName.Names), "jsonpath") {
		return n
	}
	return cast.Arg
}
