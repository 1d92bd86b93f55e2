package registry

import (
	"errors"
	"fmt"

	"github.com/shapebus/shapebus/pkg/shape"
)

// check says what a record under a key lacks to be one. What names subjects, keys and SQL are made of has its form then,
// whoever wrote the record.
func (s *Shape) check(key string) error {
	switch {
	case s.ID != key:
		return fmt.Errorf("it is that of %.40q", s.ID)
	case !shape.IsID(s.ID):
		return fmt.Errorf("%.40q is no id", s.ID)
	case s.Handle == "":
		return errors.New("it names no handle")
	case !shape.IsHandle(s.Handle) || shape.IDOfHandle(s.Handle) != s.ID:
		return fmt.Errorf("%.40q is no handle of it", s.Handle)
	}
	for _, name := range append([]string{s.Definition.Schema, s.Definition.Table}, s.Definition.Columns...) {
		if err := shape.CheckName(name); err != nil {
			return fmt.Errorf("its definition has %w", err)
		}
	}
	for _, q := range s.Subqueries {
		if err := q.check(); err != nil {
			return err
		}
	}
	return nil
}

// maxSelected is how many columns a table has at most, which is more than a subquery selects.
const maxSelected = shape.MaxColumns

func (q Subquery) check() error {
	switch {
	case !shape.IsHandle(q.Handle) || shape.IDOfHandle(q.Handle) != q.ID:
		return fmt.Errorf("%.40q is no handle of its inner shape %.40q", q.Handle, q.ID)
	case len(q.Columns) > maxSelected:
		return fmt.Errorf("its subquery selects %d columns", len(q.Columns))
	}
	for _, c := range q.Columns {
		if c < 0 || c >= shape.MaxColumns {
			return fmt.Errorf("its subquery selects column %d of the inner shape", c)
		}
	}
	return nil
}
