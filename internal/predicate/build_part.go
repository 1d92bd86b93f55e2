package predicate

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Functions of parts of texts: left, substring, trim, position and their like.

// maxTrimmed bounds the characters that a trim drops, each of which is compared with those of the set.
const maxTrimmed = 100

// textArg is an argument that is a text, converted to text; char(n) is without its padding then.
func (b *builder) textArg(c call, i int) (scalar, *Error) {
	t, err := b.resolve(c.args[i], value.Text)
	if err != nil {
		return scalar{}, err
	}
	if c.args[i] = t; !t.k.IsText() {
		return scalar{}, b.noFunction(c)
	}
	return b.scalar(t).convert(value.Text, t.pos)
}

// constText is an argument that must be a text constant. ok is false for NULL, of which the call gives NULL.
func (b *builder) constText(c call, i int) (s scalar, text string, ok bool, err *Error) {
	if s, err = b.textArg(c, i); err != nil {
		return s, "", false, err
	}
	e, isConst := s.expr.(*constExpr)
	if !isConst {
		return s, "", false, &Error{Pos: c.args[i].pos, Message: fmt.Sprintf("argument %d of %s must be a constant", i+1, c.name)}
	}
	return s, e.c.Text, !e.c.Null, nil
}

// countArg is an argument of type integer within low and subscriptEnds; beyond, it is NULL.
func (b *builder) countArg(c call, i int, low int64) (scalar, *Error) {
	t, err := b.resolve(c.args[i], value.Int4)
	if err != nil {
		return scalar{}, err
	}
	if c.args[i] = t; t.k != value.Int2 && t.k != value.Int4 {
		return scalar{}, b.noFunction(c)
	}
	s := b.scalar(t)
	switch e := s.expr.(type) {
	case *constExpr:
		if e.c.Null || e.value.Int >= low && e.value.Int <= subscriptEnds {
			return s.convert(value.Int4, t.pos)
		}
	case *narrowExpr:
		if e.to == value.Int4 && e.low >= low && e.high <= subscriptEnds {
			return s, nil
		}
	}
	return narrow(s, value.Int4, low, subscriptEnds), nil
}

func (b *builder) sidePart(c call) (term, *Error) {
	s, err := b.textArg(c, 0)
	if err != nil {
		return term{}, err
	}
	n, err := b.countArg(c, 1, -subscriptEnds)
	if err != nil {
		return term{}, err
	}
	part := value.LeftPart
	if c.name == "right" {
		part = value.RightPart
	}
	apply := func(a []value.Datum) value.Datum { return value.Datum{Bytes: part(a[0].Bytes, a[1].Int)} }
	return textCall(&callExpr{name: c.name, args: []scalar{s, n}, apply: apply, cost: callCost{perByte: 2, times: 1}}, c.pos), nil
}

func textCall(e *callExpr, pos int) term { return exprTerm(scalar{expr: e, k: value.Text}, pos) }

// substring is substr(text, start) and substr(text, start, length), which is what substring(text from 1 for 2) is, too.
func (b *builder) substring(c call) (term, *Error) {
	pattern := c.args[1].k.IsText() || c.args[1].k == value.Unknown
	if isNull := c.args[1].form == formConst && c.args[1].c.Null; pattern && !isNull {
		return term{}, &Error{
			Pos: c.args[1].pos, Message: "substring with a pattern is not supported",
			Hint: "with positions it is: substring(x from 1 for 2); cast a parameter: $1::int",
		}
	}
	s, err := b.textArg(c, 0)
	if err != nil {
		return term{}, err
	}
	start, err := b.countArg(c, 1, -subscriptEnds)
	if err != nil {
		return term{}, err
	}
	e := &callExpr{name: "substr", args: []scalar{s, start}, cost: callCost{perByte: 2, times: 1}, apply: func(a []value.Datum) value.Datum {
		return value.Datum{Bytes: value.MiddlePart(a[0].Bytes, a[1].Int, math.MaxInt32*2)}
	}}
	if len(c.args) == 3 {
		length, err := b.countArg(c, 2, 0) // Postgres refuses a negative one
		if err != nil {
			return term{}, err
		}
		e.args = append(e.args, length)
		e.apply = func(a []value.Datum) value.Datum {
			return value.Datum{Bytes: value.MiddlePart(a[0].Bytes, a[1].Int, a[2].Int)}
		}
	}
	return textCall(e, c.pos), nil
}

func (b *builder) trim(c call) (term, *Error) {
	s, err := b.textArg(c, 0)
	if err != nil {
		return term{}, err
	}
	e := &callExpr{name: c.name, args: []scalar{s}, cost: callCost{perByte: 2, times: 1}}
	set := " "
	if len(c.args) == 2 {
		characters, text, _, err := b.constText(c, 1)
		if err != nil {
			return term{}, err
		}
		if utf8.RuneCountInString(text) > maxTrimmed {
			return term{}, &Error{Pos: c.args[1].pos, Message: fmt.Sprintf("%s of more than %d characters", c.name, maxTrimmed)}
		}
		e.args, set = append(e.args, characters), text
		e.cost.perByte += float64(len(text))
	}
	left, right := c.name != "rtrim", c.name != "ltrim"
	e.apply = func(a []value.Datum) value.Datum {
		return value.Datum{Bytes: value.Trimmed(a[0].Bytes, set, left, right)}
	}
	return textCall(e, c.pos), nil
}

// strpos is strpos(text, part), and position(part in text), for which the grammar writes position(text, part).
func (b *builder) strpos(c call) (term, *Error) {
	s, err := b.textArg(c, 0)
	if err != nil {
		return term{}, err
	}
	other, err := b.textArg(c, 1)
	if err != nil {
		return term{}, err
	}
	apply := func(a []value.Datum) value.Datum { return value.Datum{Int: value.TextPosition(a[0].Bytes, a[1].Bytes)} }
	e := &callExpr{name: "strpos", args: []scalar{s, other}, collated: true, apply: apply, cost: callCost{perArgument: 3, bytes: 8}}
	return exprTerm(scalar{expr: e, k: value.Int4, bounds: bounds{hi: 31}}, c.pos), nil
}

// startsWith is LIKE 'prefix%' of a constant prefix, so that an index finds it.
func (b *builder) startsWith(c call) (term, *Error) {
	s, err := b.textArg(c, 0)
	if err != nil {
		return term{}, err
	}
	prefix, err := b.textArg(c, 1)
	if err != nil {
		return term{}, err
	}
	if p, ok := prefix.expr.(*constExpr); ok && !p.c.Null {
		left := c.args[0]
		if left.k == value.Bpchar && left.form != formConst {
			left = exprTerm(s, left.pos) // LIKE would see its padding
		} else if left.k == value.Bpchar {
			left.k, left.c = value.Text, s.expr.(*constExpr).c //nolint:forcetypeassert,errcheck // a constant converts to one
		}
		pattern := exprTermConst(value.Constant{Kind: value.Text, Text: like.Literal(p.c.Text) + "%"}, c.args[1].pos)
		n, err := b.likeConst(left, pattern, false)
		return conditionTerm(n, c.pos), err
	}
	apply := func(a []value.Datum) value.Datum {
		out := value.Datum{}
		if bytes.HasPrefix(a[0].Bytes, a[1].Bytes) {
			out.Int = 1
		}
		return out
	}
	e := &callExpr{name: "starts_with", args: []scalar{s, prefix}, collated: true, apply: apply, cost: callCost{perArgument: perText, bytes: 1}}
	return exprTerm(scalar{expr: e, k: value.Bool}, c.pos), nil
}

// splitPart needs a constant field: Postgres refuses 0.
func (b *builder) splitPart(c call) (term, *Error) {
	s, err := b.textArg(c, 0)
	if err != nil {
		return term{}, err
	}
	separator, err := b.textArg(c, 1)
	if err != nil {
		return term{}, err
	}
	n, err := b.countArg(c, 2, -subscriptEnds)
	if err != nil {
		return term{}, err
	}
	if field, ok := n.expr.(*constExpr); !ok || !field.c.Null && field.value.Int == 0 {
		return term{}, &Error{Pos: c.args[2].pos, Message: "the field of split_part must be a constant, and not 0"}
	}
	apply := func(a []value.Datum) value.Datum {
		return value.Datum{Bytes: value.SplitPart(a[0].Bytes, a[1].Bytes, a[2].Int)}
	}
	e := &callExpr{name: "split_part", args: []scalar{s, separator, n}, collated: true, apply: apply, cost: callCost{perArgument: 6, times: 1}}
	return textCall(e, c.pos), nil
}

// maxGrowth bounds how much longer replace() makes a text, since Postgres refuses one of more than 1 GB.
const maxGrowth = 10

func (b *builder) replace(c call) (term, *Error) {
	s, err := b.textArg(c, 0)
	if err != nil {
		return term{}, err
	}
	from, old, _, err := b.constText(c, 1)
	if err != nil {
		return term{}, err
	}
	to, text, _, err := b.constText(c, 2)
	if err != nil {
		return term{}, err
	}
	growth := max(1, float64(len(text))/float64(max(1, len(old))))
	if growth > maxGrowth {
		return term{}, &Error{Pos: c.args[2].pos, Message: fmt.Sprintf("replace by a text that is more than %d times as long", maxGrowth)}
	}
	if b.joins += int(math.Ceil(growth)) - 1; b.joins > maxJoined {
		return term{}, &Error{Pos: c.pos, Message: "the clause makes texts more than 100 times as long"}
	}
	apply := func(a []value.Datum) value.Datum {
		if len(a[1].Bytes) == 0 {
			return a[0]
		}
		return value.Datum{Bytes: bytes.ReplaceAll(a[0].Bytes, a[1].Bytes, a[2].Bytes)}
	}
	e := &callExpr{name: "replace", args: []scalar{s, from, to}, collated: true, apply: apply, cost: callCost{perByte: 8 + 2*growth, times: growth}}
	return textCall(e, c.pos), nil
}

// octets counts bytes.
func (b *builder) octets(c call) (term, *Error) {
	t, err := b.resolve(c.args[0], value.Text)
	if err != nil {
		return term{}, err
	}
	if c.args[0] = t; !t.k.IsText() {
		return term{}, b.noFunction(c)
	}
	apply := func(a []value.Datum) value.Datum { return value.Datum{Int: int64(len(a[0].Bytes))} }
	e := &callExpr{name: c.name, args: []scalar{b.scalar(t)}, apply: apply, cost: callCost{bytes: 8}}
	return exprTerm(scalar{expr: e, k: value.Int4, bounds: bounds{hi: 31}}, c.pos), nil
}

func (b *builder) reverse(c call) (term, *Error) {
	s, err := b.textArg(c, 0)
	if err != nil {
		return term{}, err
	}
	apply := func(a []value.Datum) value.Datum { return value.Datum{Bytes: value.Reversed(a[0].Bytes)} }
	return textCall(&callExpr{name: c.name, args: []scalar{s}, apply: apply, cost: callCost{perByte: 5, times: 1}}, c.pos), nil
}

// prefixOperator is text ^@ prefix.
func (b *builder) prefixOperator(left, right term, pos int) (term, *Error) {
	return b.startsWith(call{"^@", []term{left, right}, pos})
}
