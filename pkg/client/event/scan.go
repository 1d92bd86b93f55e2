package event

import (
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/shapebus/shapebus/pkg/change"
)

// A Row can be collected by pgx's functions, such as pgx.RowToStructByName.
var _ pgx.CollectableRow = Row{}

// typeMaps holds maps of types, which are for one goroutine at a time and remember how they scan.
var typeMaps = sync.Pool{New: func() any { return pgtype.NewMap() }}

// Scan reads the row's values into dest, in the order of its columns, as pgx does: a pointer to a
// Go type that fits the column's, to a pgtype, to an sql.Scanner, or nil to pass over a value. NULL needs a
// destination that can hold it, such as a *string's address. Nothing in dest shares memory with the row.
//
// pgx.RowToStructByName and its like read a row into a struct:
//
//	task, err := pgx.RowToStructByName[Task](change.Row)
//
// For types that pgx does not know, register them in a pgtype.Map of your own and scan Row.At with that.
func (r Row) Scan(dest ...any) error {
	if len(dest) == 1 {
		if scanner, ok := dest[0].(pgx.RowScanner); ok { // as pgx.RowToMap has it
			return scanner.ScanRow(current{r})
		}
	}
	if len(dest) != len(r.values) {
		return fmt.Errorf("scan a row: it has %d values, and there are %d places for them", len(r.values), len(dest))
	}
	types, _ := typeMaps.Get().(*pgtype.Map)
	defer typeMaps.Put(types)
	for i, d := range dest {
		if d == nil {
			continue
		}
		if err := r.scan(types, i, d); err != nil {
			return err
		}
	}
	return nil
}

// ScanColumn reads the value of the column called name into dest, as Scan does.
func (r Row) ScanColumn(name string, dest any) error {
	i := r.Index(name)
	if i < 0 {
		return fmt.Errorf("scan column %s: the row does not hold it", name)
	}
	types, _ := typeMaps.Get().(*pgtype.Map)
	defer typeMaps.Put(types)
	return r.scan(types, i, dest)
}

func (r Row) scan(types *pgtype.Map, i int, dest any) error {
	c := r.Column(i)
	if r.Unchanged(i) {
		return fmt.Errorf("scan column %s: an update left its value alone and Postgres did not send it; set REPLICA IDENTITY FULL on the table", c.Name)
	}
	if err := types.Scan(c.Type, pgtype.TextFormatCode, r.values[i], dest); err != nil {
		return fmt.Errorf("scan column %s of type %s: %w", c.Name, c.TypeName, err)
	}
	return nil
}

// Values returns the values as Go types that fit their columns', as pgx chooses them: int32 for an
// integer, time.Time for a timestamp, nil for NULL; a string for a type that it does not know.
// An unchanged value is an error.
func (r Row) Values() ([]any, error) {
	types, _ := typeMaps.Get().(*pgtype.Map)
	defer typeMaps.Put(types)
	out := make([]any, len(r.values))
	for i, v := range r.values {
		c := r.Column(i)
		switch t, known := types.TypeForOID(c.Type); {
		case r.Unchanged(i):
			return nil, fmt.Errorf("column %s: an update left its value alone and Postgres did not send it", c.Name)
		case v == nil:
		case known:
			var err error
			if out[i], err = t.Codec.DecodeValue(types, c.Type, pgtype.TextFormatCode, v); err != nil {
				return nil, fmt.Errorf("column %s of type %s: %w", c.Name, c.TypeName, err)
			}
		default:
			out[i] = string(v)
		}
	}
	return out, nil
}

// RawValues returns the values in Postgres' text form, in place, nil for NULL or unchanged.
func (r Row) RawValues() [][]byte {
	out := make([][]byte, len(r.values))
	for i, v := range r.values {
		if !change.IsUnchanged(v) {
			out[i] = v
		}
	}
	return out
}

// current is a row as pgx.Rows that stand at it.
type current struct{ Row }

func (current) Close()                        {}
func (current) Err() error                    { return nil }
func (current) CommandTag() pgconn.CommandTag { return pgconn.CommandTag{} }
func (current) Next() bool                    { return false }
func (current) Conn() *pgx.Conn               { return nil }
func (current) TypeMap() *pgtype.Map          { return pgtype.NewMap() }

// FieldDescriptions describes the row's columns to pgx.
func (r Row) FieldDescriptions() []pgconn.FieldDescription {
	out := make([]pgconn.FieldDescription, len(r.values))
	for i := range r.values {
		c := r.Column(i)
		out[i] = pgconn.FieldDescription{Name: c.Name, DataTypeOID: c.Type, Format: pgtype.TextFormatCode}
	}
	return out
}
