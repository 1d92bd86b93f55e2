package predicate

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// relateArrays compares arrays of one type.
func (b *builder) relateArrays(op string, r relation, left, right term, pos int) (relation, *Error) {
	if r.left.k != r.right.k {
		return relation{}, b.noOperator(op, left, right, pos)
	}
	r.compare, r.ordered = value.EqualArrays(r.left.k.Element()), false
	return r, nil
}

// containArrays builds @> <@ && on arrays of one type.
func (b *builder) containArrays(name string, left, right term, pos int) (term, *Error) {
	var err *Error
	switch {
	case name != "@>" && name != "<@" && name != "&&":
		return term{}, b.noOperator(name, left, right, pos)
	case left.k.IsArray():
		right, err = b.resolve(right, left.k)
	case right.k.IsArray():
		left, err = b.resolve(left, right.k)
	}
	if err != nil {
		return term{}, err
	}
	if left.k != right.k || !left.k.IsArray() {
		return term{}, b.noOperator(name, left, right, pos)
	}
	if name == "<@" {
		left, right = right, left
	}
	e := left.k.Element()
	return conditionTerm(&containNode{name == "&&", b.scalar(left), b.scalar(right), value.Comparator(e, e)}, pos), nil
}

// joinArrays builds || on arrays: of two, or of one and an element.
func (b *builder) joinArrays(left, right term, pos int) (term, *Error) {
	var err *Error
	if left.k == value.Unknown {
		left, err = b.resolve(left, right.k)
	} else if right.k == value.Unknown {
		right, err = b.resolve(right, left.k)
	}
	if err != nil {
		return term{}, err
	}
	return b.joinTyped(left, right, pos)
}

func (b *builder) joinTyped(left, right term, pos int) (term, *Error) {
	element, ok := value.CommonKind([]value.Kind{left.k.Element(), right.k.Element()})
	if !ok {
		return term{}, b.noOperator("||", left, right, pos)
	}
	var sides [2]scalar
	for i, t := range []term{left, right} {
		s, to := b.scalar(t), element
		switch {
		case t.k.IsArray():
			if c, ok := s.expr.(*constExpr); ok && !isFlat(s) {
				c.c.Null, c.value = true, value.Null
			} else if !isFlat(s) {
				s = scalar{expr: &flatExpr{s}, k: s.k}
			}
			to |= value.ArrayOf
		case to.IsInt() && (s.k == value.Numeric || s.k.IsInt() && s.k > to):
			s = narrowToType(s, to)
		}
		var err *Error
		if sides[i], err = s.convert(to, t.pos); err != nil {
			return term{}, err
		}
	}
	return exprTerm(scalar{expr: &joinExpr{sides[0], sides[1]}, k: element | value.ArrayOf}, pos), nil
}

func isFlat(s scalar) bool {
	switch e := s.expr.(type) {
	case *constExpr:
		return e.c.Null || len(e.value.Array.Dims) == 0 || len(e.value.Array.Dims) == 1 && between(int64(e.value.Array.Dims[0].Lower), flatLower)
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
		if !c.args[0].k.IsArray() {
			return term{}, b.noFunction(c)
		}
		return exprTerm(scalar{expr: &dimsExpr{b.scalar(c.args[0])}, k: value.Int4, bounds: bounds{hi: 3}}, c.pos), nil
	case "array_cat":
		if !c.args[0].k.IsArray() && !c.args[1].k.IsArray() {
			return term{}, b.noFunction(c)
		}
		return b.joinArrays(c.args[0], c.args[1], c.pos)
	}
	a, e := 0, 1
	if c.name == "array_prepend" {
		a, e = 1, 0
	}
	if !c.args[a].k.IsArray() || c.args[e].k.IsArray() {
		return term{}, b.noFunction(c)
	}
	var err *Error
	if c.args[e], err = b.resolve(c.args[e], c.args[a].k.Element()); err != nil {
		return term{}, err
	}
	return b.joinTyped(c.args[0], c.args[1], c.pos)
}

// cardinality counts the elements of all dimensions.
func (b *builder) cardinality(c call) (term, *Error) {
	if !c.args[0].k.IsArray() {
		return term{}, b.noFunction(c)
	}
	apply := func(a []value.Datum) value.Datum { return value.Datum{Int: int64(len(a[0].Array.Elements))} }
	e := &callExpr{name: c.name, args: []scalar{b.scalar(c.args[0])}, apply: apply, cost: callCost{bytes: 8}}
	return exprTerm(scalar{expr: e, k: value.Int4, bounds: bounds{hi: 31}}, c.pos), nil
}

// arrayLength counts the elements of one dimension; NULL if there is none.
func (b *builder) arrayLength(c call) (term, *Error) {
	if !c.args[0].k.IsArray() {
		return term{}, b.noFunction(c)
	}
	n, err := b.countArg(c, 1, -subscriptEnds)
	if err != nil {
		return term{}, err
	}
	apply := func(a []value.Datum) value.Datum {
		if d := a[1].Int; d >= 1 && d <= int64(len(a[0].Array.Dims)) {
			return value.Datum{Int: int64(a[0].Array.Dims[d-1].Length)}
		}
		return value.Null
	}
	e := &callExpr{name: c.name, args: []scalar{b.scalar(c.args[0]), n}, apply: apply, cost: callCost{bytes: 8}}
	return exprTerm(scalar{expr: e, k: value.Int4, bounds: bounds{hi: 31}}, c.pos), nil
}

// arrayTerm builds ARRAY[…].
func (b *builder) arrayTerm(e *pg_query.A_ArrayExpr, pos, depth int) (term, *Error) {
	if len(e.Elements) == 0 {
		return term{}, (&Error{Pos: pos, Message: "cannot determine the type of an empty array"}).withHint("cast it: ARRAY[]::integer[]")
	}
	terms, err := b.terms(e.Elements, depth)
	if err != nil {
		return term{}, err
	}
	return b.arrayOf(terms, pos)
}

// castArray builds ARRAY[…]::type[], whose elements have no types of their own but by the cast, as in Postgres. ok is false if
// they have: then it is an array that is cast.
func (b *builder) castArray(e *pg_query.A_ArrayExpr, k value.Kind, pos, depth int) (t term, ok bool, err *Error) {
	untyped := func(n *pg_query.Node) bool {
		return n.GetParamRef() != nil || n.GetAConst() != nil && (n.GetAConst().GetSval() != nil || n.GetAConst().Isnull)
	}
	if !slices.ContainsFunc(e.Elements, untyped) {
		return term{}, false, nil
	}
	terms, err := b.terms(e.Elements, depth)
	if err != nil {
		return term{}, false, err
	}
	for i := range terms {
		if terms[i], err = b.cast(terms[i], k.Element(), terms[i].pos); err != nil {
			return term{}, false, err
		}
	}
	t, err = b.arrayOf(terms, pos)
	return t, true, err
}

// arrayOf is an array of elements. Constants become an array constant.
func (b *builder) arrayOf(terms []term, pos int) (term, *Error) {
	args, k, err := b.commonTerms("ARRAY", terms, pos)
	if err != nil {
		return term{}, err
	}
	if _, ok := arrayTypes[k.Element()]; !ok {
		return term{}, &Error{Pos: pos, Message: "arrays of type " + k.String() + " are not supported"}
	}
	elements := make([]value.Datum, len(args))
	constants := true
	for i := range args {
		c, ok := args[i].expr.(*constExpr)
		if constants = constants && ok; ok {
			elements[i] = c.value
		}
		if k.IsInt() && args[i].k != k {
			args[i] = narrowToType(args[i], k)
		}
	}
	switch {
	case constants && k.IsArray():
		return b.nestedArray(k, elements, pos)
	case constants:
		return exprTermConst(value.Constant{Kind: k | value.ArrayOf, Text: value.ArrayText(k, value.NewArray(elements))}, pos), nil
	case k.IsArray():
		return term{}, &Error{Pos: pos, Message: "ARRAY of arrays is supported for constants only"}
	}
	return exprTerm(scalar{expr: &arrayExpr{args}, k: k | value.ArrayOf}, pos), nil
}

// arrayTypes are the kinds that there are arrays of.
var arrayTypes = func() map[value.Kind]struct{} {
	out := make(map[value.Kind]struct{})
	for k := value.Bool; k < value.Enum; k++ {
		if k != value.JSONB {
			out[k] = struct{}{}
		}
	}
	return out
}()

func (b *builder) nestedArray(k value.Kind, rows []value.Datum, pos int) (term, *Error) {
	refused := &Error{Pos: pos, Message: "multidimensional arrays must have array expressions with matching dimensions"}
	out := &value.Array{}
	for i, d := range rows {
		if d.Null || len(d.Array.Dims) != len(rows[0].Array.Dims) || len(d.Array.Dims) == value.MaxDims {
			return term{}, refused
		}
		for j, dim := range d.Array.Dims {
			if dim.Lower != 1 || dim != rows[0].Array.Dims[j] {
				return term{}, refused
			}
		}
		if i == 0 {
			out.Dims = append([]value.Dimension{{Lower: 1, Length: len(rows)}}, d.Array.Dims...)
		}
		out.Elements = append(out.Elements, d.Array.Elements...)
	}
	if len(out.Elements) == 0 {
		out = &value.Array{}
	}
	return exprTermConst(value.Constant{Kind: k, Text: value.ArrayText(k.Element(), out)}, pos), nil
}

// subscript builds array[i] and array[l:u].
func (b *builder) subscript(e *pg_query.A_Indirection, pos, depth int) (term, *Error) {
	t, err := b.term(e.Arg, depth+1)
	if err != nil {
		return term{}, err
	}
	if t.k == value.JSONB && len(e.Indirection) <= maxList {
		return b.jsonSubscript(t, e.Indirection, pos, depth)
	}
	if !t.k.IsArray() || len(e.Indirection) > value.MaxDims {
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
			lower = newConst(value.Constant{Kind: value.Int4, Text: "1"})
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
		out.k = t.k.Element()
		if out.bounds = boundsOfKind(out.k); out.k.IsTemporal() {
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
	if t, err = b.resolve(t, value.Int4); err != nil {
		return scalar{}, err
	}
	s := b.scalar(t)
	switch {
	case t.k != value.Int2 && t.k != value.Int4:
		return scalar{}, &Error{Pos: t.pos, Message: "array subscript must have type integer"}
	case s.k != value.Int2 && s.k != value.Int4:
		s = narrow(s, value.Int4, -subscriptEnds, subscriptEnds)
	}
	return s, nil
}
