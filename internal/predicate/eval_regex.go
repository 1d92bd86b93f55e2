package predicate

import "github.com/shapebus/shapebus/internal/predicate/regex"

// regexNode is text ~ pattern, or ~* where it folds; !~ is a notNode around it.
type regexNode struct {
	text    scalar
	pattern string
	fold    bool
	match   *regex.Pattern
}

func (n *regexNode) eval(row [][]byte) truth {
	d := n.text.eval(row)
	if d.Null {
		return isUnknown
	}
	return truthOf(n.match.Match(d.Bytes))
}

func (n *regexNode) columns(add func(int)) { n.text.columns(add) }
