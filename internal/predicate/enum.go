package predicate

import (
	"slices"
)

// resolveEnum makes an untyped literal or parameter a label of an enum. Other operands pass unchanged.
func (b *builder) resolveEnum(t term, e *enumType) (term, *Error) {
	if t.k != kindUnknown || e == nil {
		return t, nil
	}
	if t.form == formParam {
		if t.form = formConst; b.params[t.param-1] == nil {
			t.c.null = true
		} else {
			t.c.text = *b.params[t.param-1]
		}
		b.paramKind[t.param-1] = kindEnum
	}
	if !t.c.null && !slices.Contains(e.labels, t.c.text) {
		return term{}, inputAt(&inputError{message: "invalid input value for enum " + e.name + ": " + quoteShort(t.c.text)}, t.pos, t.param)
	}
	t.k, t.enum, t.c.k = kindEnum, e, kindEnum
	return t, nil
}
