package predicate

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// relateArrays compares arrays of one type.
func (b *builder) relateArrays(op string, r relation, left, right term, pos int) (relation, *Error) {
	if r.left.k != r.right.k {
		return relation{}, b.noOperator(op, left, right, pos)
	}
	r.compare, r.ordered = equalArrays(r.left.k.element()), false
	return r, nil
}

// containArrays builds @> <@ && on arrays of one type.
func (b *builder) containArrays(name string, left, right term, pos int) (term, *Error) {
	var err *Error
	switch {
	case name != "@>" && name != "<@" && name != "&&":
		return term{}, &Error{Pos: pos, Message: fmt.Sprintf("unknown binary operator %q", name)}
	case left.k.isArray():
		right, err = b.resolve(right, left.k)
	case right.k.isArray():
		left, err = b.resolve(left, right.k)
	}
	if err != nil {
		return term{}, err
	}
	if left.k != right.k || !left.k.isArray() {
		return term{}, b.noOperator(name, left, right, pos)
	}
	if name == "<@" {
		left, right = right, left
	}
	e := left.k.element()
	return conditionTerm(&containNode{name == "&&", b.scalar(left), b.scalar(right), comparator(e, e)}, pos), nil
}

// joinArrays builds || on arrays: of two, or of one and an element.
func (b *builder) joinArrays(left, right term, pos int) (term, *Error) {
	var err *Error
	if left.k == kindUnknown {
		left, err = b.resolve(left, right.k)
	} else if right.k == kindUnknown {
		right, err = b.resolve(right, left.k)
	}
	if err != nil {
		return term{}, err
	}
	return b.joinTyped(left, right, pos)
}

func (b *builder) joinTyped(left, right term, pos int) (term, *Error) {
	element, ok := commonKind([]kind{left.k.element(), right.k.element()})
	if !ok {
		return term{}, b.noOperator("||", left, right, pos)
	}
	var sides [2]scalar
	for i, t := range []term{left, right} {
		s, to := b.scalar(t), element
		switch {
		case t.k.isArray():
			if c, ok := s.expr.(*constExpr); ok && !isFlat(s) {
				c.c.null, c.value = true, nullDatum
			} else if !isFlat(s) {
				s = scalar{expr: &flatExpr{s}, k: s.k}
			}
			to |= kindArray
		case to.isInt() && (s.k == kindNumeric || s.k.isInt() && s.k > to):
			s = narrowToType(s, to)
		}
		var err *Error
		if sides[i], err = s.convert(to, t.pos); err != nil {
			return term{}, err
		}
	}
	return exprTerm(scalar{expr: &joinExpr{sides[0], sides[1]}, k: element | kindArray}, pos), nil
}

func isFlat(s scalar) bool {
	switch e := s.expr.(type) {
	case *constExpr:
		return e.c.null || len(e.value.a.dims) == 0 || len(e.value.a.dims) == 1 && between(int64(e.value.a.dims[0].lower), flatLower)
	case *arrayExpr, *joinExpr, *flatExpr:
		return true
	case *castExpr:
		return isFlat(e.arg)
	}
	return false
}

func (b *builder) arrayFunction(c call) (term, *Error) {
	switch c.name {
	case "array_ndims":
		if !c.args[0].k.isArray() {
			return term{}, b.noFunction(c)
		}
		return exprTerm(scalar{expr: &dimsExpr{b.scalar(c.args[0])}, k: kindInt4, bounds: bounds{hi: 3}}, c.pos), nil
	case "array_cat":
		if !c.args[0].k.isArray() && !c.args[1].k.isArray() {
			return term{}, b.noFunction(c)
		}
		return b.joinArrays(c.args[0], c.args[1], c.pos)
	}
	a, e := 0, 1
	if c.name == "array_prepend" {
		a, e = 1, 0
	}
	if !c.args[a].k.isArray() || c.args[e].k.isArray() {
		return term{}, b.noFunction(c)
	}
	var err *Error
	if c.args[e], err = b.resolve(c.args[e], c.args[a].k.element()); err != nil {
		return term{}, err
	}
	return b.joinTyped(c.args[0], c.args[1], c.pos)
}

// arrayTerm builds ARRAY[…]. Constants become an array constant.
func (b *builder) arrayTerm(e *pg_query.A_ArrayExpr, pos, depth int) (term, *Error) {
	if len(e.Elements) == 0 {
		return term{}, (&Error{Pos: pos, Message: "cannot determine the type of an empty array"}).withHint("cast it: ARRAY[]::integer[]")
	}
	terms, err := b.terms(e.Elements, depth)
	if err != nil {
		return term{}, err
	}
	args, k, err := b.commonTerms("ARRAY", terms, pos)
	if err != nil {
		return term{}, err
	}
	if _, ok := arrayTypes[k.element()]; !ok {
		return term{}, &Error{Pos: pos, Message: "arrays of type " + k.String() + " are not supported"}
	}
	elements := make([]datum, len(args))
	constants := true
	for i := range args {
		c, ok := args[i].expr.(*constExpr)
		if constants = constants && ok; ok {
			elements[i] = c.value
		}
		if k.isInt() && args[i].k != k {
			args[i] = narrowToType(args[i], k)
		}
	}
	switch {
	case constants && k.isArray():
		return b.nestedArray(k, elements, pos)
	case constants:
		return exprTermConst(constant{k: k | kindArray, text: arrayText(k, newArray(elements))}, pos), nil
	case k.isArray():
		return term{}, &Error{Pos: pos, Message: "ARRAY of arrays is supported for constants only"}
	}
	return exprTerm(scalar{expr: &arrayExpr{args}, k: k | kindArray}, pos), nil
}

// arrayTypes are the kinds that there are arrays of.
var arrayTypes = func() map[kind]struct{} {
	out := make(map[kind]struct{})
	for k := kindBool; k <= kindInterval; k++ {
		out[k] = struct{}{}
	}
	return out
}()

func exprTermConst(c constant, pos int) term { return term{form: formConst, k: c.k, c: c, pos: pos} }

func (b *builder) nestedArray(k kind, rows []datum, pos int) (term, *Error) {
	refused := &Error{Pos: pos, Message: "multidimensional arrays must have array expressions with matching dimensions"}
	out := &array{}
	for i, d := range rows {
		if d.null || len(d.a.dims) != len(rows[0].a.dims) || len(d.a.dims) == maxDims {
			return term{}, refused
		}
		for j, dim := range d.a.dims {
			if dim.lower != 1 || dim != rows[0].a.dims[j] {
				return term{}, refused
			}
		}
		if i == 0 {
			out.dims = append([]dimension{{lower: 1, length: len(rows)}}, d.a.dims...)
		}
		out.elements = append(out.elements, d.a.elements...)
	}
	if len(out.elements) == 0 {
		out = &array{}
	}
	return exprTermConst(constant{k: k, text: arrayText(k.element(), out)}, pos), nil
}

// subscript builds array[i] and array[l:u].
func (b *builder) subscript(e *pg_query.A_Indirection, pos, depth int) (term, *Error) {
	t, err := b.term(e.Arg, depth+1)
	if err != nil {
		return term{}, err
	}
	if !t.k.isArray() || len(e.Indirection) > maxDims {
		return term{}, &Error{Pos: pos, Message: "cannot subscript type " + t.typeName(b) + " because it does not support subscripting"}
	}
	x := &subscriptExpr{array: b.scalar(t)}
	for _, n := range e.Indirection {
		i := n.GetAIndices()
		if i == nil {
			return term{}, &Error{Pos: pos, Message: "only subscripts can follow an array"}
		}
		x.slice = x.slice || i.IsSlice
	}
	for _, n := range e.Indirection {
		i := n.GetAIndices()
		lower := scalar{}
		switch {
		case i.Lidx != nil:
			lower, err = b.subscriptBound(i.Lidx, depth)
		case x.slice && !i.IsSlice:
			lower = newConst(constant{k: kindInt4, text: "1"})
		}
		if err != nil {
			return term{}, err
		}
		upper := scalar{}
		if i.Uidx != nil {
			if upper, err = b.subscriptBound(i.Uidx, depth); err != nil {
				return term{}, err
			}
		}
		x.lower, x.upper = append(x.lower, lower), append(x.upper, upper)
	}
	out := scalar{expr: x, k: t.k}
	if !x.slice {
		out.k = t.k.element()
		if out.bounds = boundsOfKind(out.k); out.k.isTemporal() {
			out.bounds.hi = 20*maxReach + 1 // may be anything, and cannot be guarded
		}
	}
	return exprTerm(out, pos), nil
}

func (b *builder) subscriptBound(n *pg_query.Node, depth int) (scalar, *Error) {
	t, err := b.term(n, depth+1)
	if err != nil {
		return scalar{}, err
	}
	if t, err = b.resolve(t, kindInt4); err != nil {
		return scalar{}, err
	}
	s := b.scalar(t)
	switch {
	case t.k != kindInt2 && t.k != kindInt4:
		return scalar{}, &Error{Pos: t.pos, Message: "array subscript must have type integer"}
	case s.k != kindInt2 && s.k != kindInt4:
		s = narrow(s, kindInt4, -subscriptEnds, subscriptEnds)
	}
	return s, nil
}

// quantified builds left op ANY (array) and ALL.
func (b *builder) quantified(e *pg_query.A_Expr, pos, depth int) (node, *Error) {
	name, all := operatorName(e), e.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL
	left, right, err := b.pair(e.Lexpr, e.Rexpr, depth)
	if err != nil {
		return nil, err
	}
	if right.k == kindUnknown {
		k := left.k
		if k == kindUnknown || k == kindVarchar {
			k = kindText
		}
		if _, ok := arrayTypes[k]; !ok {
			return nil, &Error{Pos: right.pos, Message: "arrays of type " + left.typeName(b) + " are not supported"}
		}
		if right, err = b.resolve(right, k|kindArray); err != nil {
			return nil, err
		}
	}
	if !right.k.isArray() {
		return nil, &Error{Pos: right.pos, Message: "argument of ANY must be an array"}
	}
	if left, err = b.resolve(left, right.k.element()); err != nil {
		return nil, err
	}
	if name == "~~" || name == "!~~" || name == "~~*" || name == "!~~*" {
		return b.likeQuantified(name, all, left, right)
	}
	op, ok := operatorOf(name)
	if !ok {
		return nil, &Error{Pos: pos, Message: "operator " + name + " is not supported with ANY and ALL"}
	}
	if n, err := b.quantifiedConst(op, all, left, right, pos); n != nil || err != nil {
		return n, err
	}
	a := b.scalar(right)
	element := scalar{expr: &subscriptExpr{}, k: a.k.element(), bounds: boundsOfKind(a.k.element())}
	r, err := b.relate(name, left, exprTerm(element, right.pos), pos)
	switch {
	case err != nil:
		return nil, err
	case !r.ordered && !op.isEquality():
		return nil, b.noOperator(name, left, right, pos)
	case r.right.k != element.k:
		if a, err = a.convert(r.right.k|kindArray, right.pos); err != nil {
			return nil, err
		}
		if c, ok := a.expr.(*constExpr); ok { // a constant of the other type is the list that it prints as
			if n, err := b.quantifiedConst(op, all, left, exprTermConst(c.c, right.pos), pos); n != nil || err != nil {
				return n, err
			}
		}
	}
	compare := r.compare
	return &quantifiedNode{name: name, all: all, left: r.left, array: a, test: func(l, e *datum) bool { return op.holds(compare(l, e)) }}, nil
}

// quantifiedConst makes lists of = ANY and <> ALL of array constants, as IN and NOT IN would be.
func (b *builder) quantifiedConst(op operator, all bool, left, right term, pos int) (node, *Error) {
	k := right.k.element()
	if right.form != formConst || right.c.null || left.form != formColumn || left.k != k || op != opEqual && op != opNotEqual || (op == opNotEqual) != all {
		return nil, nil
	}
	a, ok := arrayFromText(k, []byte(right.c.text))
	if !ok || len(a.elements) == 0 {
		return nil, nil
	}
	var members []term
	for i := range a.elements {
		c := constant{k: k, null: a.elements[i].null}
		if !c.null {
			var err error
			if c, err = parseConstant(k, string(datumText(k, &a.elements[i]))); err != nil {
				return nil, inputAt(err, right.pos, right.param)
			}
		}
		members = append(members, exprTermConst(c, right.pos))
	}
	return b.inTerms(left, members, op == opNotEqual, pos)
}

func (b *builder) likeQuantified(name string, all bool, left, right term) (node, *Error) {
	a := b.scalar(right)
	c, ok := a.expr.(*constExpr)
	if !ok || c.c.null || !a.k.element().isText() || a.k.element() == kindBpchar || !left.k.isText() {
		return nil, &Error{Pos: right.pos, Message: "LIKE with ANY and ALL takes an array constant of text patterns"}
	}
	patterns := make(map[string]likePattern)
	for _, e := range c.value.a.elements {
		if e.null {
			continue
		}
		p, err := compileLike(string(e.b), name[len(name)-1] == '*')
		if err != nil {
			return nil, inputAt(err, right.pos, right.param)
		}
		patterns[string(e.b)] = p
	}
	var err *Error
	if a, err = a.convert(kindText|kindArray, right.pos); err != nil {
		return nil, err
	}
	var buffers foldBuffers
	not := name[0] == '!'
	return &quantifiedNode{name: name, all: all, left: b.scalar(left), array: a, test: func(l, e *datum) bool {
		p := patterns[string(e.b)]
		return p.match(l.b, &buffers) != not
	}}, nil
}
