package consumer

import "github.com/shapebus/shapebus/internal/pg"

// final is an error that no repetition cures: the shape ends with it.
type final struct{ err error }

func (e *final) Error() string { return e.err.Error() }

func (e *final) Unwrap() error { return e.err }

// finalIfPermanent sorts what Postgres says of a shape's table: an error that
// only a person can cure ends the shape, with any other it is tried again.
func finalIfPermanent(err error) error {
	if pg.Permanent(err) {
		return &final{err}
	}
	return err
}
