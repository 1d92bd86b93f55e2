package protocol

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Error is an answer that refuses a request.
type Error struct {
	Status     int
	Body       any    // encoded as JSON
	Handle     string // of the shape to go on with, with status 409; may be empty
	RetryAfter int    // seconds; 0 for none
}

func (e *Error) Error() string {
	body, err := json.Marshal(e.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("status %d: %s", e.Status, body)
}

// invalid is the body of a request that does not make sense.
type invalid struct {
	Message string         `json:"message"`
	Errors  map[string]any `json:"errors"`
}

// Invalid refuses a request for what one of its fields says.
func Invalid(field, text string) *Error {
	return &Error{Status: http.StatusBadRequest, Body: invalid{"Invalid request", map[string]any{field: []string{text}}}}
}

// invalidAll refuses a request for several fields at once.
func invalidAll(fields map[string]string) *Error {
	errs := make(map[string]any, len(fields))
	for field, text := range fields {
		errs[field] = []string{text}
	}
	return &Error{Status: http.StatusBadRequest, Body: invalid{"Invalid request", errs}}
}

// InvalidSubset refuses a request for what one of its subset's fields says.
func InvalidSubset(field, text string) *Error {
	nested := map[string]any{field: []string{text}}
	return &Error{Status: http.StatusBadRequest, Body: invalid{"Invalid request", map[string]any{"subset": nested}}}
}

// message is the body of most other refusals.
type message struct {
	Message string `json:"message"`
}

// Refuse is an answer with a status and one text.
func Refuse(status int, text string) *Error { return &Error{Status: status, Body: message{text}} }

// Unavailable asks the client to come again.
func Unavailable(text string, retryAfter int) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Body: message{text}, RetryAfter: retryAfter}
}

// coded is the body of refusals that programs tell apart.
type coded struct {
	Code  string `json:"code"`
	Error string `json:"error"`
}

// Overloaded asks the client to come again because too many others are here.
func Overloaded(status int, code, text string, retryAfter int) *Error {
	return &Error{Status: status, Body: coded{code, text}, RetryAfter: retryAfter}
}

// Body refuses a request for its body.
func Body(status int, text, details string) *Error {
	type body struct {
		Error   string `json:"error"`
		Details string `json:"details,omitempty"`
	}
	return &Error{Status: status, Body: body{text, details}}
}

// mustRefetch is the only message of an answer with status 409.
var mustRefetch = json.RawMessage(`[{"headers":{"control":"must-refetch"}}]`)

// MustRefetch tells the client to begin again, with the shape of a handle if it is known.
func MustRefetch(handle string) *Error {
	return &Error{Status: http.StatusConflict, Body: mustRefetch, Handle: handle}
}

// DefinitionMissing refuses a request that names no shape.
func DefinitionMissing() *Error {
	return &Error{Status: http.StatusBadRequest, Body: map[string]any{"errors": map[string]any{"handle": []string{"can't be blank when shape definition is missing"}}}}
}
