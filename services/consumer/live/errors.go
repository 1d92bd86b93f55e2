package live

import "github.com/shapebus/shapebus/internal/pg"

// FinalError is an error that no repetition cures: the shape ends with it.
type FinalError struct{ Err error }

func (e *FinalError) Error() string { return e.Err.Error() }

func (e *FinalError) Unwrap() error { return e.Err }

// FinalIfPermanent sorts what Postgres says of a shape's table: an error that
// only a person can cure ends the shape, with any other it is tried again.
func FinalIfPermanent(err error) error {
	if pg.Permanent(err) {
		return &FinalError{err}
	}
	return err
}
