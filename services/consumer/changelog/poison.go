package changelog

import (
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
)

// PoisonError says that a change log message cannot be understood.
type PoisonError struct {
	Subject string
	Seq     uint64
	LSN     change.LSN // 0 if it does not tell
	Control bool       // it concerns all tables
	Err     error
}

func (e *PoisonError) Error() string {
	return fmt.Sprintf("change log message %d on %s cannot be read: %v", e.Seq, e.Subject, e.Err)
}

func (e *PoisonError) Unwrap() error { return e.Err }

// Reason tells the readers of shapes that end by it.
func (e *PoisonError) Reason() string {
	return fmt.Sprintf("message %d of the change log cannot be read (%v), so changes may be missing; create the shape again", e.Seq, e.Err)
}
