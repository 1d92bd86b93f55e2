package predicate

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

func (e *jsonGetExpr) eval(row [][]byte) datum {
	d := e.json.eval(row)
	if d.null {
		return d
	}
	key := e.key.eval(row)
	if key.null {
		return key
	}
	var found []byte
	if e.key.k.isInt() {
		found = jsonIndex(d.b, key.i)
	} else {
		found = jsonKey(d.b, string(key.b))
	}
	if e.asText && found != nil {
		found = jsonAsText(found)
	}
	if found == nil {
		return nullDatum
	}
	return datum{b: found}
}

func (n *jsonNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	if l.null || r.null {
		return isUnknown
	}
	switch n.name {
	case "@>":
		return truthOf(containsJSON(l.b, r.b))
	case "?":
		return truthOf(jsonHasKey(l.b, string(r.b)))
	}
	all := n.name == "?&"
	for i := range r.a.elements {
		if e := &r.a.elements[i]; !e.null && jsonHasKey(l.b, string(e.b)) != all {
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
	if left.k != kindJSONB && (right.k != kindJSONB || name != "@>" && name != "<@") {
		return b.containArrays(name, left, right, pos)
	}
	var err *Error
	switch name {
	case "->", "->>":
		return b.jsonGet(name, left, right, pos)
	case "@>", "<@":
		if left, err = b.resolve(left, kindJSONB); err != nil {
			return term{}, err
		}
		right, err = b.resolve(right, kindJSONB)
		if name == "<@" {
			left, right = right, left
		}
		name = "@>"
	case "?":
		right, err = b.resolve(right, kindText)
	case "?|", "?&":
		right, err = b.resolve(right, kindText|kindArray)
	}
	if err != nil {
		return term{}, err
	}
	l, r := b.scalar(left), b.scalar(right)
	ok := map[string]bool{"@>": l.k == kindJSONB && r.k == kindJSONB, "?": r.k.isText(), "?|": r.k == kindText|kindArray, "?&": r.k == kindText|kindArray}[name]
	if !ok {
		return term{}, b.noOperator(name, left, right, pos)
	}
	if name == "?" {
		if r, err = r.convert(kindText, right.pos); err != nil {
			return term{}, err
		}
	}
	return conditionTerm(&jsonNode{name, l, r}, pos), nil
}

func (b *builder) jsonGet(name string, left, right term, pos int) (term, *Error) {
	right, err := b.resolve(right, kindText)
	if err != nil {
		return term{}, err
	}
	key := b.scalar(right)
	switch {
	case right.k.isText():
		key, err = key.convert(kindText, right.pos)
	case right.k == kindInt2 || right.k == kindInt4:
		if key.k != kindInt2 && key.k != kindInt4 {
			key = narrow(key, kindInt4, -subscriptEnds, subscriptEnds)
		}
	default:
		return term{}, b.noOperator(name, left, right, pos)
	}
	if err != nil {
		return term{}, err
	}
	out := scalar{expr: &jsonGetExpr{name == "->>", b.scalar(left), key}, k: kindJSONB}
	if name == "->>" {
		out.k = kindText
	}
	return exprTerm(out, pos), nil
}

func conditionTerm(n node, pos int) term { return term{form: formBool, k: kindBool, bool: n, pos: pos} }
