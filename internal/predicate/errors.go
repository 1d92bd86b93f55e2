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
	Denied  bool   // nothing is wrong with the clause, but Postgres does not allow it
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
