package predicate

import (
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/regex"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// maxRegexes bounds the sizes of a clause's regular expressions together, each of which takes time to compile.
const maxRegexes = 10_000

// regexTerm builds ~ ~* !~ !~* with a constant pattern.
func (b *builder) regexTerm(name string, left, right term, pos int) (term, *Error) {
	left, err := b.resolve(left, value.Text)
	if err != nil {
		return term{}, err
	}
	if right, err = b.resolve(right, value.Text); err != nil {
		return term{}, err
	}
	switch {
	case !left.k.IsText() || !right.k.IsText():
		return term{}, b.noOperator(name, left, right, pos)
	case right.form != formConst:
		return term{}, &Error{Pos: right.pos, Message: "the pattern of " + name + " must be a constant"}
	case right.c.Null, left.form == formConst && left.c.Null:
		return conditionTerm(&literalNode{isUnknown}, pos), nil
	}
	pattern := right.c.Text
	if right.k == value.Bpchar {
		pattern = strings.TrimRight(pattern, " ")
	}
	fold := strings.HasSuffix(name, "*")
	match, rerr := regex.Compile(pattern, fold)
	if rerr != nil {
		return term{}, inputAt(rerr, right.pos, right.param)
	}
	if b.regexes += match.Size(); b.regexes > maxRegexes {
		return term{}, &Error{Pos: right.pos, Message: "the regular expressions of the clause are too large together"}
	}
	var n node = &regexNode{text: b.scalar(left), pattern: pattern, fold: fold, match: match}
	if left.form == formConst {
		n = &literalNode{truthOf(match.Match([]byte(left.c.Text)))}
	}
	if name[0] == '!' {
		n = &notNode{n}
	}
	return conditionTerm(n, pos), nil
}
