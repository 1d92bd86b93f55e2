package value

import "fmt"

// InputError is a constant whose text is not a value of its type. The caller knows the place and makes it an Error.
type InputError struct {
	Message, Hint string
}

func (e *InputError) Error() string { return e.Message }

func badInput(k Kind, text string) *InputError {
	return &InputError{Message: fmt.Sprintf("invalid input for type %s: %s", k, QuoteShort(text))}
}

// OutOfRange is the error of a constant that its type does not hold.
func OutOfRange(k Kind, text string) *InputError {
	return &InputError{Message: fmt.Sprintf("%s is out of range for type %s", QuoteShort(text), k)}
}

// QuoteShort quotes a value for an error message, cut so that a message stays readable.
func QuoteShort(s string) string {
	const most = 60
	if r := []rune(s[:min(len(s), 4*most)]); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return `"` + s + `"`
}
