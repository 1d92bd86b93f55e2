package event

import (
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
)

// ErrNotFound says that there is no such shape; to test for with errors.Is.
var ErrNotFound = errors.New("no such shape")

// MustRefetchError ends the reading of one incarnation of a shape: the shape ended
// or was deleted, or its log does not hold what comes after the offset asked
// for. Drop what was kept of the shape, create it again and read the new
// handle from the beginning.
type MustRefetchError struct {
	Handle string
	Reason string // for people
	// Again says that this incarnation may live on: only the position is gone, with what was folded. Creating the
	// shape then gives the same handle, to be read from the beginning.
	Again bool
}

func (e *MustRefetchError) Error() string {
	return fmt.Sprintf("shape %s must be fetched again: %s", e.Handle, e.Reason)
}

// PermanentError ends the reading of a shape, or a request, because of something that
// trying again does not mend: what this NATS user may not do, an account without
// JetStream or without the shape's stream, a connection that was closed for good. It
// wraps the cause, so errors.Is finds nats.ErrPermissionViolation and the like.
type PermanentError struct {
	Doing  string // what failed, and on what
	Err    error
	Remedy string // for people
}

func (e *PermanentError) Error() string { return fmt.Sprintf("%s: %v; %s", e.Doing, e.Err, e.Remedy) }

// Unwrap returns the cause.
func (e *PermanentError) Unwrap() error { return e.Err }

// BrokenLogError says that a shape's log contradicts itself. It is never the
// app's fault; please report it. The remedy is to delete the shape and fetch
// it again.
type BrokenLogError struct {
	Handle string
	Offset change.Offset // of the op at fault, or the last one before it
	What   string
}

func (e *BrokenLogError) Error() string {
	return fmt.Sprintf("the log of shape %s is broken at offset %s: %s; delete the shape and fetch it again, and please report this", e.Handle, e.Offset, e.What)
}

// RequestError is the control plane's refusal of a request.
type RequestError struct {
	Endpoint string // such as shape.create
	Code     string // one of control's Code constants
	Text     string // what is wrong and what to do
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("%s: %s (code %s)", e.Endpoint, e.Text, e.Code)
}

// Is makes errors.Is(err, ErrNotFound) work.
func (e *RequestError) Is(target error) bool {
	return target == ErrNotFound && e.Code == control.CodeNotFound
}

// Temporary reports whether the same request may succeed later.
func (e *RequestError) Temporary() bool {
	return e.Code == control.CodeUnavailable || e.Code == control.CodeConflict
}
