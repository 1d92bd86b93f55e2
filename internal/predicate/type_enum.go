package predicate

import (
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// resolveEnum makes an untyped literal or parameter a label of an enum. Other operands pass unchanged.
func (b *builder) resolveEnum(t term, e *enumType) (term, *Error) {
	if t.k != value.Unknown || e == nil {
		return t, nil
	}
	if t.form == formParam {
		if t.form = formConst; b.params[t.param-1] == nil {
			t.c.Null = true
		} else {
			t.c.Text = *b.params[t.param-1]
		}
		b.paramKind[t.param-1] = value.Enum
	}
	if !t.c.Null && !slices.Contains(e.labels, t.c.Text) {
		return term{}, inputAt(&value.InputError{Message: "invalid input value for enum " + e.name + ": " + value.QuoteShort(t.c.Text)}, t.pos, t.param)
	}
	t.k, t.enum, t.c.Kind = value.Enum, e, value.Enum
	return t, nil
}
