package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

// contain builds the operators that arrays and jsonb share, and those that only jsonb has.
func (b *builder) contain(name string, left, right term, pos int) (term, *Error) {
	if left.k != value.JSONB && (right.k != value.JSONB || name != "@>" && name != "<@") {
		return b.containArrays(name, left, right, pos)
	}
	var err *Error
	switch name {
	case "->", "->>":
		return b.jsonGet(name, left, right, pos)
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
	out := scalar{expr: &jsonGetExpr{name == "->>", b.scalar(left), key}, k: value.JSONB}
	if name == "->>" {
		out.k = value.Text
	}
	return exprTerm(out, pos), nil
}
