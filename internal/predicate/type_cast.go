package predicate

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// castTerm is an explicit cast: '…'::uuid, CAST(x AS date), timestamp '…'.
func (b *builder) castTerm(e *pg_query.TypeCast, depth int) (term, *Error) {
	pos := b.at(e.TypeName.Location)
	if enum := b.enumOfName(e.TypeName); enum != nil {
		t, err := b.term(e.Arg, depth+1)
		if err != nil {
			return term{}, err
		}
		if t.enum == nil && t.k != value.Unknown {
			return term{}, b.noCast(t, enum.name, pos)
		}
		return b.resolveEnum(t, enum)
	}
	k, err := b.castKind(e.TypeName)
	if err != nil {
		return term{}, err
	}
	if a := e.Arg.GetAArrayExpr(); a != nil && len(a.Elements) == 0 && k.IsArray() {
		return exprTermConst(value.Constant{Kind: k, Text: "{}"}, pos), nil
	}
	if a := e.Arg.GetAArrayExpr(); a != nil && k.IsArray() {
		if t, ok, err := b.castArray(a, k, pos, depth+1); ok || err != nil {
			return t, err
		}
	}
	t, err := b.term(e.Arg, depth+1)
	if err != nil {
		return term{}, err
	}
	return b.cast(t, k, pos)
}

// cast converts an operand to a kind.
func (b *builder) cast(t term, k value.Kind, pos int) (term, *Error) {
	if l, ok := t.bool.(*literalNode); ok && t.form == formBool { // conditions of constants are constants
		t = exprTermConst(l.constant(), t.pos)
	}
	switch {
	case t.k == value.Unknown:
		return b.resolve(t, k)
	case t.k == k && t.form != formBool:
		return t, nil
	case t.form == formConst && t.c.Null:
		t.k, t.c.Kind, t.enum = k, k, nil
		return t, nil
	case t.form == formConst && castsAsConstant(t.k, k):
		c, cerr := value.CastConstant(t.c, k)
		if cerr != nil {
			return term{}, inputAt(cerr, t.pos, t.param)
		}
		t.k, t.c = k, c
		return t, nil
	case t.k == value.Opaque, t.composite:
		return term{}, b.noCast(t, k.String(), pos)
	}
	s := b.scalar(t)
	as, pattern := textPattern(k)
	switch {
	case t.k.IsText() && pattern != nil:
		s = textCast(s, as, pattern)
	case t.k.IsNumber() && k.IsInt() && (!t.k.IsInt() || k < t.k):
		s = narrowToType(s, k)
	case k.IsInt() && (s.k == value.Numeric || s.k.IsInt() && s.k >= k):
		// The integer is wider than its type in the user's text already.
	default:
		var err *Error
		if s, err = s.convert(k, t.pos); err != nil {
			return term{}, b.noCast(t, k.String(), pos)
		}
	}
	out := exprTerm(s, t.pos)
	if out.form == formExpr {
		out.k = k
	}
	return out, nil
}

func (n *literalNode) constant() value.Constant {
	switch n.value {
	case isTrue:
		return value.Constant{Kind: value.Bool, Text: "t"}
	case isFalse:
		return value.Constant{Kind: value.Bool, Text: "f"}
	case isUnknown:
	}
	return value.Constant{Kind: value.Bool, Null: true}
}

// castsAsConstant holds for casts that CastConstant makes, with the errors that belong to constants.
func castsAsConstant(from, to value.Kind) bool {
	if from.IsNumber() {
		return !to.IsText()
	}
	return from == value.Bool || from.IsText() || from == value.UUID
}

func (b *builder) noCast(t term, to string, pos int) *Error {
	return refusedCast(t.typeName(b), to, pos)
}

// refusedCast is the error of a cast that Postgres has not, or has with errors or with a time zone.
func refusedCast(from, to string, pos int) *Error {
	zoned := value.Timestamptz.String()
	if from == zoned || to == zoned {
		return &Error{
			Pos: pos, Message: fmt.Sprintf("a cast from %s to %s is not supported, because it depends on the session's time zone", from, to),
			Hint: "say x AT TIME ZONE 'UTC'",
		}
	}
	return &Error{
		Pos: pos, Message: fmt.Sprintf("a cast from %s to %s is not supported, because Postgres has none, or raises an error for some values", from, to),
		Hint: asTableAbove,
	}
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

func (b *builder) castKind(name *pg_query.TypeName) (value.Kind, *Error) {
	pos := b.at(name.Location)
	parts := typeNameParts(name)
	if len(parts) == 2 && parts[0] == "pg_catalog" {
		parts = parts[1:]
	}
	k, ok := value.KindOfName(parts[len(parts)-1])
	switch {
	case len(parts) != 1 || !ok || name.Setof || name.PctType || len(name.ArrayBounds) > 0 && k == value.JSONB:
		full := strings.Join(parts, ".") + strings.Repeat("[]", len(name.ArrayBounds))
		return 0, &Error{Pos: pos, Message: "unsupported type " + full}
	case len(name.Typmods) > 0:
		return 0, &Error{
			Pos: pos, Message: fmt.Sprintf("a cast to %s with a length or precision is not supported", k),
			Hint: "write the value as it is meant, and leave the length out (bpchar for char)",
		}
	}
	if len(name.ArrayBounds) > 0 {
		k |= value.ArrayOf
	}
	return k, nil
}
