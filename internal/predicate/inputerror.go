package predicate

import "fmt"

// inputError is a constant whose text is not a value of its type. The caller knows the place and makes it an Error.
type inputError struct {
	message, hint string
}

func (e *inputError) Error() string { return e.message }

func badInput(k kind, text string) *inputError {
	return &inputError{message: fmt.Sprintf("invalid input for type %s: %s", k, quoteShort(text))}
}

func outOfRange(k kind, text string) *inputError {
	return &inputError{message: fmt.Sprintf("%s is out of range for type %s", quoteShort(text), k)}
}

// quoteShort quotes a value for an error message, cut so that a message stays readable.
func quoteShort(s string) string {
	const most = 60
	if r := []rune(s[:min(len(s), 4*most)]); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return `"` + s + `"`
}
