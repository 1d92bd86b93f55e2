package predicate

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// castTerm is an explicit cast: '…'::uuid, CAST(x AS date), timestamp '…'.
func (b *builder) castTerm(e *pg_query.TypeCast, depth int) (term, *Error) {
	pos := b.at(e.TypeName.Location)
	if enum := b.enumOfName(e.TypeName); enum != nil {
		t, err := b.term(e.Arg, depth+1)
		if err != nil {
			return term{}, err
		}
		if t.enum == nil && t.k != kindUnknown {
			return term{}, b.noCast(t, enum.name, pos)
		}
		return b.resolveEnum(t, enum)
	}
	k, err := b.castKind(e.TypeName)
	if err != nil {
		return term{}, err
	}
	if a := e.Arg.GetAArrayExpr(); a != nil && len(a.Elements) == 0 && k.isArray() {
		return exprTermConst(constant{k: k, text: "{}"}, pos), nil
	}
	t, err := b.term(e.Arg, depth+1)
	if err != nil {
		return term{}, err
	}
	return b.cast(t, k, pos)
}

// cast converts an operand to a kind.
func (b *builder) cast(t term, k kind, pos int) (term, *Error) {
	switch {
	case t.k == kindUnknown:
		return b.resolve(t, k)
	case t.k == k && t.form != formBool:
		return t, nil
	case t.form == formConst && t.c.null:
		t.k, t.c.k, t.enum = k, k, nil
		return t, nil
	case t.form == formConst && castsAsConstant(t.k, k):
		c, cerr := castConstant(t.c, k)
		if cerr != nil {
			return term{}, inputAt(cerr, t.pos, t.param)
		}
		t.k, t.c = k, c
		return t, nil
	case t.k == kindOpaque:
		return term{}, b.noCast(t, k.String(), pos)
	}
	s := b.scalar(t)
	as, pattern := textPattern(k)
	switch {
	case t.k.isText() && pattern != nil:
		s = textCast(s, as, pattern)
	case t.k.isNumber() && k.isInt() && (!t.k.isInt() || k < t.k):
		s = narrowToType(s, k)
	case k.isInt() && (s.k == kindNumeric || s.k.isInt() && s.k >= k):
		// The integer is wider than its type in the user's text already.
	default:
		var err *Error
		if s, err = s.convert(k, t.pos); err != nil {
			return term{}, b.noCast(t, k.String(), pos)
		}
	}
	if c, ok := s.expr.(*constExpr); ok {
		return exprTermConst(c.c, t.pos), nil
	}
	out := exprTerm(s, t.pos)
	out.k = k
	return out, nil
}

// castsAsConstant holds for casts that castConstant makes, with the errors that belong to constants.
func castsAsConstant(from, to kind) bool {
	if from.isNumber() {
		return !to.isText()
	}
	return from == kindBool || from.isText() || from == kindUUID
}

func (b *builder) noCast(t term, to string, pos int) *Error {
	return &Error{Pos: pos, Message: fmt.Sprintf("unknown cast from type %s to type %s", t.typeName(b), to)}
}

// enumOfName finds an enum of the table's columns by the name of its type.
func (b *builder) enumOfName(name *pg_query.TypeName) *enumType {
	full := typeNameParts(name)
	if len(name.ArrayBounds) > 0 || len(full) == 0 {
		return nil
	}
	for i := range b.table.Columns {
		c := &b.table.Columns[i]
		own := strings.ReplaceAll(c.TypeName, `"`, "")
		if c.Enum != nil && (own == strings.Join(full, ".") || own == full[len(full)-1]) {
			return &enumType{c.TypeOID, c.typeName(), c.Enum}
		}
	}
	return nil
}

func typeNameParts(name *pg_query.TypeName) []string {
	parts := make([]string, 0, len(name.Names))
	for _, n := range name.Names {
		parts = append(parts, n.GetString_().GetSval())
	}
	return parts
}

func (b *builder) castKind(name *pg_query.TypeName) (kind, *Error) {
	pos := b.at(name.Location)
	parts := typeNameParts(name)
	if len(parts) == 2 && parts[0] == "pg_catalog" {
		parts = parts[1:]
	}
	k, ok := kindOfName(parts[len(parts)-1])
	switch {
	case len(parts) != 1 || !ok || name.Setof || name.PctType || len(name.ArrayBounds) > 0 && k == kindJSONB:
		full := strings.Join(parts, ".") + strings.Repeat("[]", len(name.ArrayBounds))
		return 0, &Error{Pos: pos, Message: "unsupported type " + full}
	case len(name.Typmods) > 0:
		return 0, &Error{
			Pos: pos, Message: fmt.Sprintf("a cast to %s with a length or precision is not supported", k),
			Hint: "write the value as it is meant, and leave the length out (bpchar for char)",
		}
	}
	if len(name.ArrayBounds) > 0 {
		k |= kindArray
	}
	return k, nil
}
