package live

import "github.com/shapebus/shapebus/internal/pg"

// Final is an error that no repetition cures: the shape ends with it.
type Final struct{ Err error }

func (e *Final) Error() string { return e.Err.Error() }

func (e *Final) Unwrap() error { return e.Err }

// FinalIfPermanent sorts what Postgres says of a shape's table: an error that
// only a person can cure ends the shape, with any other it is tried again.
func FinalIfPermanent(err error) error {
	if pg.Permanent(err) {
		return &Final{err}
	}
	return err
}
