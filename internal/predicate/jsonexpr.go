package predicate

import "github.com/shapebus/shapebus/internal/predicate/value"

type (
	// jsonGetExpr is jsonb -> key or ->> key, where the key is a text or an integer.
	jsonGetExpr struct {
		asText    bool
		json, key scalar
	}

	// jsonNode is @> on jsonb, and ? ?| ?& with the keys on the right. <@ is @> the other way round.
	jsonNode struct {
		name        string
		left, right scalar
	}
)

func (e *jsonGetExpr) eval(row [][]byte) value.Datum {
	d := e.json.eval(row)
	if d.Null {
		return d
	}
	key := e.key.eval(row)
	if key.Null {
		return key
	}
	var found []byte
	if e.key.k.IsInt() {
		found = value.JSONIndex(d.Bytes, key.Int)
	} else {
		found = value.JSONKey(d.Bytes, string(key.Bytes))
	}
	if e.asText && found != nil {
		found = value.JSONAsText(found)
	}
	if found == nil {
		return value.Null
	}
	return value.Datum{Bytes: found}
}

func (n *jsonNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	if l.Null || r.Null {
		return isUnknown
	}
	switch n.name {
	case "@>":
		return truthOf(value.ContainsJSON(l.Bytes, r.Bytes))
	case "?":
		return truthOf(value.JSONHasKey(l.Bytes, string(r.Bytes)))
	}
	all := n.name == "?&"
	for i := range r.Array.Elements {
		if e := &r.Array.Elements[i]; !e.Null && value.JSONHasKey(l.Bytes, string(e.Bytes)) != all {
			return truthOf(!all)
		}
	}
	return truthOf(all)
}

func (e *jsonGetExpr) columns(add func(int)) {
	e.json.columns(add)
	e.key.columns(add)
}

func (n *jsonNode) columns(add func(int)) {
	n.left.columns(add)
	n.right.columns(add)
}

func (e *jsonGetExpr) print(p *printer) {
	p.WriteByte('(')
	p.expr(e.json)
	if e.asText {
		p.WriteString(" ->> ")
	} else {
		p.WriteString(" -> ")
	}
	p.expr(e.key)
	p.WriteByte(')')
}

func (n *jsonNode) print(p *printer) {
	p.expr(n.left)
	p.WriteString(" " + n.name + " ")
	p.expr(n.right)
}

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

func conditionTerm(n node, pos int) term {
	return term{form: formBool, k: value.Bool, bool: n, pos: pos}
}
