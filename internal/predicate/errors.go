package predicate

import (
	"fmt"
	"strings"
)

// Error says what is wrong with a where clause and where.
type Error struct {
	Pos     int    // 1-based position in the clause, in characters; 0 if the error has no place
	Message string // one sentence, without the position
	Hint    string // what to do about it; may be empty
}

// Error returns "where clause, position 12: message (hint)".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("where clause")
	if e.Pos > 0 {
		fmt.Fprintf(&b, ", position %d", e.Pos)
	}
	b.WriteString(": ")
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// withHint returns e with a hint; it exists so that an error can be built in one expression.
func (e *Error) withHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

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
