package predicate

import (
	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// contain builds the operators that arrays and jsonb share, and those that only jsonb has.
func (b *builder) contain(name string, left, right term, pos int) (term, *Error) {
	if left.k.IsRange() || right.k.IsRange() {
		return b.containRanges(name, left, right, pos)
	}
	if left.k != value.JSONB && (right.k != value.JSONB || name != "@>" && name != "<@") {
		return b.containArrays(name, left, right, pos)
	}
	var err *Error
	switch name {
	case "->", "->>":
		return b.jsonGet(name, left, right, pos)
	case "#>", "#>>":
		return b.jsonPath(name, left, right, pos)
	case "@>", "<@":
		if left, err = b.resolve(left, value.JSONB); err != nil {
			return term{}, err
		}
		right, err = b.resolve(right, value.JSONB)
		if name == "<@" {
			left, right = right, left
		}
		name = "@>"
	case "?":
		right, err = b.resolve(right, value.Text)
	case "?|", "?&":
		right, err = b.resolve(right, value.Text|value.ArrayOf)
	}
	if err != nil {
		return term{}, err
	}
	l, r := b.scalar(left), b.scalar(right)
	ok := map[string]bool{"@>": l.k == value.JSONB && r.k == value.JSONB, "?": r.k.IsText(), "?|": r.k == value.Text|value.ArrayOf, "?&": r.k == value.Text|value.ArrayOf}[name]
	if !ok {
		return term{}, b.noOperator(name, left, right, pos)
	}
	if name == "?" {
		if r, err = r.convert(value.Text, right.pos); err != nil {
			return term{}, err
		}
	}
	return conditionTerm(&jsonNode{name, l, r}, pos), nil
}

func (b *builder) jsonGet(name string, left, right term, pos int) (term, *Error) {
	right, err := b.resolve(right, value.Text)
	if err != nil {
		return term{}, err
	}
	key := b.scalar(right)
	switch {
	case right.k.IsText():
		key, err = key.convert(value.Text, right.pos)
	case right.k == value.Int2 || right.k == value.Int4:
		if key.k != value.Int2 && key.k != value.Int4 {
			key = narrow(key, value.Int4, -subscriptEnds, subscriptEnds)
		}
	default:
		return term{}, b.noOperator(name, left, right, pos)
	}
	if err != nil {
		return term{}, err
	}
	return exprTerm(jsonPart(name == "->>", b.scalar(left), key), pos), nil
}

// jsonType builds jsonb_typeof.
func (b *builder) jsonType(c call) (term, *Error) {
	s, err := b.document(c)
	if err != nil {
		return term{}, err
	}
	apply := func(a []value.Datum) value.Datum { return value.Datum{Bytes: []byte(value.JSONType(a[0].Bytes))} }
	return textCall(&callExpr{name: c.name, args: []scalar{s}, apply: apply, cost: callCost{bytes: 8}}, c.pos), nil
}

// jsonLength builds jsonb_array_length, NULL of what is no array.
func (b *builder) jsonLength(c call) (term, *Error) {
	s, err := b.document(c)
	return exprTerm(scalar{expr: &jsonLengthExpr{s}, k: value.Int4, bounds: bounds{hi: 31}}, c.pos), err
}

func (b *builder) document(c call) (scalar, *Error) {
	t, err := b.resolve(c.args[0], value.JSONB)
	if err != nil {
		return scalar{}, err
	}
	if c.args[0] = t; t.k != value.JSONB {
		return scalar{}, b.noFunction(c)
	}
	return b.scalar(t), nil
}

// jsonPath builds #> and #>>, whose right side is an array of texts.
func (b *builder) jsonPath(name string, left, right term, pos int) (term, *Error) {
	right, err := b.resolve(right, value.Text|value.ArrayOf)
	if err != nil {
		return term{}, err
	}
	if !right.k.IsArray() || !right.k.Element().IsText() {
		return term{}, b.noOperator(name, left, right, pos)
	}
	path, err := b.scalar(right).convert(value.Text|value.ArrayOf, right.pos)
	if err != nil {
		return term{}, err
	}
	return exprTerm(jsonPart(name == "#>>", b.scalar(left), path), pos), nil
}

func jsonPart(asText bool, json, key scalar) scalar {
	out := scalar{expr: &jsonGetExpr{asText, json, key}, k: value.JSONB}
	if asText {
		out.k = value.Text
	}
	return out
}

// jsonSubscript builds jsonb['a'][0], which is #> with the subscripts as a path.
func (b *builder) jsonSubscript(t term, subscripts []*pg_query.Node, pos, depth int) (term, *Error) {
	steps := make([]value.Datum, 0, len(subscripts))
	for _, n := range subscripts {
		i := n.GetAIndices()
		if i == nil || i.IsSlice {
			return term{}, &Error{Pos: pos, Message: "jsonb subscript does not support slices", Hint: "write jsonb['key'] or jsonb[0]"}
		}
		step, err := b.term(i.Uidx, depth+1)
		if err != nil {
			return term{}, err
		}
		if step, err = b.resolve(step, value.Text); err != nil {
			return term{}, err
		}
		switch {
		case step.form != formConst:
			return term{}, &Error{Pos: step.pos, Message: "jsonb subscripts are supported as constants only", Hint: "write jsonb -> key, or jsonb #> ARRAY[key, key]"}
		case !step.k.IsText() && step.k != value.Int2 && step.k != value.Int4:
			return term{}, &Error{Pos: step.pos, Message: "jsonb subscript must be of type integer or text, not " + step.typeName(b)}
		case step.c.Null:
			steps = append(steps, value.Null)
		default:
			steps = append(steps, value.Datum{Bytes: []byte(step.c.Text)})
		}
	}
	path := value.Constant{Kind: value.Text | value.ArrayOf, Text: value.ArrayText(value.Text, value.NewArray(steps))}
	return exprTerm(jsonPart(false, b.scalar(t), newConst(path)), pos), nil
}
