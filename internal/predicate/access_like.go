package predicate

import (
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// access of LIKE: the range of texts that begin as the pattern does, and the pieces that they hold.
func (n *likeNode) access(want truth) access.Path {
	if want == isFalse {
		return access.Path{}
	}
	return likeAccess(n.column, &n.match, n.match.Fold)
}

// access of LIKE on lower() or upper() of a column. Of others nothing is known.
func (n *likeExprNode) access(want truth) access.Path {
	c, ok := foldedColumn(n.text)
	if want == isFalse || n.match == nil || !ok {
		return access.Path{}
	}
	return likeAccess(c, n.match, true)
}

// foldedColumn is the column that an expression is lower() or upper() of. Texts that are equal under one of the two are equal
// under both.
func foldedColumn(s scalar) (c column, ok bool) {
	fold, ok := s.expr.(*foldExpr)
	if !ok {
		return column{}, false
	}
	arg, k := fold.arg.expr, fold.arg.k
	if cast, is := arg.(*castExpr); is {
		arg, k = cast.arg.expr, cast.arg.k
	}
	x, ok := arg.(*columnExpr)
	if !ok || k != value.Text && k != value.Varchar && !k.CastsAsItIs() { // char(n) loses its padding
		return column{}, false
	}
	return x.column, true
}

// maxPieces bounds the pieces among which an index chooses: each of them covers the rows that hold all.
const maxPieces = 16

// likeAccess covers the texts of a column that are like a pattern, or that are with ASCII letters in lower case.
func likeAccess(c column, p *like.Pattern, fold bool) access.Path {
	folded := func(text []byte) []byte {
		if fold {
			return like.Fold(nil, text)
		}
		return text
	}
	prefix, whole := p.Prefix()
	switch prefix = folded(prefix); {
	case whole && fold:
		return access.KeysOf(access.FoldedKey(c.index), string(prefix))
	case whole:
		return access.KeysOf(access.TextKey(c.index), string(prefix))
	}
	var paths []access.Path
	if len(prefix) > 0 {
		k := access.ValueKey(c.index, value.Reading{Kind: c.k, Domain: value.DomainBytes})
		if fold {
			k = access.FoldedKey(c.index)
		}
		paths = append(paths, beginning(k, prefix))
	}
	var pieces []string
	for _, run := range p.Runs() {
		run = like.Fold(nil, run)
		for i := 0; i+access.PieceLen <= len(run) && len(pieces) < maxPieces; i++ {
			if piece := string(run[i : i+access.PieceLen]); !slices.Contains(pieces, piece) {
				pieces = append(pieces, piece)
				paths = append(paths, access.KeysOf(access.PiecesKey(c.index), piece))
			}
		}
	}
	return access.AllOf(paths...)
}

// beginning covers the keys that begin with a text.
func beginning(k access.Key, prefix []byte) access.Path {
	out := access.Path{Form: access.Range, Key: k, Low: access.Bound{Set: true, Value: string(prefix)}}
	end := slices.Clone(prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) > 0 {
		end[len(end)-1]++
		out.High = access.Bound{Set: true, Exclusive: true, Value: string(end)}
	}
	return out
}
