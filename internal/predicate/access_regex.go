package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/internal/predicate/like"
)

// access of a regular expression is that of the LIKE patterns which its texts are like.
func (n *regexNode) access(want truth) access.Path {
	c, ok := n.text.expr.(*columnExpr)
	fold := n.fold
	var x column
	if ok {
		x = c.column
	} else if x, ok = foldedColumn(n.text); ok {
		fold = true
	}
	needs := n.match.Needs()
	if want == isFalse || !ok || len(needs) == 0 {
		return access.Path{}
	}
	paths := make([]access.Path, len(needs))
	for i, pattern := range needs {
		p, err := like.Compile(pattern, fold)
		if err != nil {
			return access.Path{}
		}
		paths[i] = likeAccess(x, &p, fold)
	}
	return access.AnyOf(paths...)
}
