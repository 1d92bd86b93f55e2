package live

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// What Postgres says of a shape's table: that it can be followed, that it is not what it was, or why the shape has to end.

// Fence makes sure that the stream carries the table whole.
func (s *Loop) Fence(ctx context.Context, conn *pgx.Conn, schema, name string) (*pg.TableInfo, error) {
	table, err := pg.LookupTable(ctx, conn, schema, name, s.Preparer.Publication())
	if err != nil {
		return nil, FinalIfPermanent(err)
	}
	if table, err = s.Preparer.Prepare(ctx, conn, table); err != nil {
		return nil, FinalIfPermanent(err)
	}
	return table, nil
}

// TableChanged says what changed. now is nil when the table is gone.
func TableChanged(was, now *pg.TableInfo) string {
	if d := was.Diff(now); d != "" {
		return d
	}
	return fmt.Sprintf("table %s changed", was)
}

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
