package predicate

import (
	"regexp"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

type (
	// patternExpr is a LIKE pattern from a row: NULL if it ends with the escape character, where Postgres would raise an error.
	patternExpr struct{ arg scalar }

	// likeExprNode is text [I]LIKE pattern, both general expressions; match is set if the pattern is a constant.
	likeExprNode struct {
		text, pattern scalar
		fold          bool
		match         *like.Pattern
		buffers       like.Buffers
	}
)

// wholePattern matches patterns in which every escape character escapes something.
var wholePattern = regexp.MustCompile(`^([^\\]|\\(.|\n))*$`)

func (e *patternExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if !d.Null && !like.Complete(d.Bytes) {
		return value.Null
	}
	return d
}

func (n *likeExprNode) eval(row [][]byte) truth {
	text := n.text.eval(row)
	if text.Null {
		return isUnknown
	}
	if n.match != nil {
		return truthOf(n.match.Match(text.Bytes, &n.buffers))
	}
	pattern := n.pattern.eval(row)
	if pattern.Null {
		return isUnknown
	}
	if n.fold {
		text.Bytes, pattern.Bytes = like.Fold(nil, text.Bytes), like.Fold(nil, pattern.Bytes)
	}
	return truthOf(like.Match(text.Bytes, pattern.Bytes))
}

func (e *patternExpr) columns(add func(int)) { e.arg.columns(add) }

func (n *likeExprNode) columns(add func(int)) {
	n.text.columns(add)
	n.pattern.columns(add)
}

// likeNode is column [I]LIKE pattern; NOT LIKE is a notNode around it.
type likeNode struct {
	column  column
	pattern string
	match   like.Pattern
	buffers like.Buffers
}

func (n *likeNode) eval(row [][]byte) truth {
	text := cell(row, n.column.index)
	if text == nil {
		return isUnknown
	}
	return truthOf(n.match.Match(text, &n.buffers))
}

func (n *likeNode) columns(add func(int)) { add(n.column.index) }
