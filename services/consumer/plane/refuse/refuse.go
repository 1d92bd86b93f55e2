// Package refuse says no to the one who asked: what was wrong with a request, with a code that a program can act upon and a text
// for people. It knows which errors of the packages below mean what; it decides nothing itself.
package refuse

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
)

// Error is an error with a code for the one who asked.
type Error struct{ Code, Text string }

func (e *Error) Error() string { return e.Text }

// With is the refusal with a code.
func With(code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// BadRequest is the refusal of a request that is wrong by itself, or does not fit what there is.
func BadRequest(format string, args ...any) *Error {
	return With(control.CodeBadRequest, format, args...)
}

// Describe turns an error into a code and a text for the one who asked.
func Describe(err error) (code, text string) {
	var re *Error
	var pe *predicate.Error
	var needs *pg.NeedsError
	var notFound *pg.NotFoundError
	var unsupported *pg.UnsupportedError
	switch {
	case errors.As(err, &re):
		return re.Code, re.Text
	case errors.As(err, &pe) && pe.Denied:
		return control.CodeForbidden, err.Error()
	case errors.As(err, &pe), errors.As(err, &notFound), errors.As(err, &unsupported):
		return control.CodeBadRequest, err.Error()
	case errors.As(err, &needs):
		return control.CodeForbidden, err.Error()
	case errors.Is(err, registry.ErrNotFound):
		return control.CodeNotFound, err.Error()
	case errors.Is(err, nats.ErrMaxPayload):
		return control.CodeTooLarge, err.Error() + ": what has to be stored of the shape does not fit into one message of the NATS server; ask for fewer columns or a shorter clause, or raise the server's max_payload"
	}
	return control.CodeUnavailable, err.Error()
}

// maxText bounds the text of a refusal, which may name every column of a table.
const maxText = 4 << 10

// Cut is a text, or as much of its beginning as a refusal may have and a mark that there is more.
func Cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	const end = " …"
	return strings.ToValidUTF8(text[:maxText-len(end)], "") + end
}
