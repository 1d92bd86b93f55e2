package predicate

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v6"
)

// castTerm is an explicit cast: '…'::uuid, CAST($1 AS date), timestamp '…'. Only constants and parameters may be cast.
func (b *builder) castTerm(cast *pg_query.TypeCast, depth int) (term, *Error) {
	k, err := b.castKind(cast.TypeName)
	if err != nil {
		return term{}, err
	}
	t, err := b.term(cast.Arg, depth+1)
	if err != nil {
		return term{}, err
	}
	switch {
	case t.form == formColumn || t.form == formBool:
		return term{}, &Error{
			Pos: t.pos, Message: "only constants and parameters can be cast",
			Hint: "cast the other side to the column's type instead",
		}
	case t.k == kindUnknown:
		return b.resolve(t, k)
	case t.c.null:
		t.k, t.c.k = k, k
		return t, nil
	}
	c, cerr := castConstant(t.c, k)
	if cerr != nil {
		return term{}, inputAt(cerr, t.pos, t.param)
	}
	t.k, t.c = k, c
	return t, nil
}

func (b *builder) castKind(name *pg_query.TypeName) (kind, *Error) {
	pos := b.at(name.Location)
	parts := make([]string, 0, len(name.Names))
	for _, n := range name.Names {
		parts = append(parts, n.GetString_().GetSval())
	}
	if len(parts) == 2 && parts[0] == "pg_catalog" {
		parts = parts[1:]
	}
	k, ok := kindOfName(parts[len(parts)-1])
	switch {
	case len(parts) != 1 || !ok || name.Setof || name.PctType || len(name.ArrayBounds) > 0:
		full := strings.Join(parts, ".") + strings.Repeat("[]", len(name.ArrayBounds))
		return 0, &Error{Pos: pos, Message: "unsupported type " + full}
	case len(name.Typmods) > 0:
		return 0, &Error{
			Pos: pos, Message: fmt.Sprintf("a cast to %s with a length or precision is not supported", k),
			Hint: "write the value as it is meant, and leave the length out (bpchar for char)",
		}
	}
	return k, nil
}

// castConstant converts between typed constants: among numbers, and from anything to text and back.
func castConstant(c constant, k kind) (constant, error) {
	switch {
	case c.k == k:
		return c, nil
	case c.k.isNumber() && k.isInt():
		if c.k.isInt() {
			return parseConstant(k, c.text)
		}
		return roundedInt(c, k)
	case c.k.isFloat() && k.isNumber():
		return castFloat(c, k)
	case c.k.isNumber() && k.isNumber(), c.k.isText() && !k.isText():
		return parseConstant(k, c.text)
	case c.k.isText():
		if c.k == kindBpchar {
			c.text = strings.TrimRight(c.text, " ")
		}
		c.k = k
		return c, nil
	case k.isText() && (c.k.isInt() || c.k == kindUUID):
		c.k = k
		return c, nil
	case c.k == kindDate && k == kindTimestamp:
		return dateAsTimestamp(c)
	case c.k == kindBool && k.isText():
		return constant{k: k, text: map[string]string{"t": "true", "f": "false"}[c.text]}, nil
	}
	return constant{}, &inputError{
		message: fmt.Sprintf("cannot cast type %s to %s", c.k, k), hint: "write the constant in quotes: '…'::" + k.String(),
	}
}

func dateAsTimestamp(c constant) (constant, error) {
	days, _ := dateFromText([]byte(c.text))
	switch {
	case days == infinity || days == minusInfinity:
		return constant{k: kindTimestamp, text: c.text}, nil
	case days >= endMicrosInDay:
		return constant{}, outOfRange(kindTimestamp, c.text)
	}
	return constant{k: kindTimestamp, text: timestampText(dayToMicros(days), "")}, nil
}

// castFloat works on the binary value, not on its decimal text. To numeric only the digits that any float of the kind
// keeps survive, as in Postgres.
func castFloat(c constant, k kind) (constant, error) {
	var v value
	if err := c.read(&v, reading{k: c.k, domain: domainFloat}); err != nil {
		return constant{}, err
	}
	switch {
	case k == kindNumeric && c.k == kindFloat4:
		return parseConstant(k, strconv.FormatFloat(v.f, 'g', 6, 64))
	case k == kindNumeric:
		return parseConstant(k, strconv.FormatFloat(v.f, 'g', 15, 64))
	case k == kindFloat4:
		narrow := float64(float32(v.f))
		if math.IsInf(narrow, 0) && !math.IsInf(v.f, 0) || narrow == 0 && v.f != 0 {
			return constant{}, outOfRange(k, c.text)
		}
		return constant{k: k, text: formatFloat(k, narrow)}, nil
	}
	return constant{k: k, text: formatFloat(k, v.f)}, nil
}

// read brings a constant to a domain.
func (c constant) read(v *value, r reading) error {
	r.k = c.k
	if !r.read([]byte(c.text), v) {
		return outOfRange(c.k, c.text)
	}
	return nil
}
