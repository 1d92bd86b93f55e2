package registry

import (
	"fmt"

	"github.com/shapebus/shapebus/pkg/control"
)

// Alive reports whether the shape has neither ended nor is to be deleted.
func (s *Shape) Alive() bool {
	return s.State != control.StateEnded && s.State != control.StateDeleting
}

// Within makes a record that describes no table, or speaks of partitions which the
// source does not have, one that cannot be read.
func Within(e Event, partitions int) Event {
	if e.Shape == nil {
		return e
	}
	if e.Shape.Table == nil {
		return Event{ID: e.ID, Err: fmt.Errorf("shape %s: %w: it describes no table", e.ID, ErrUnreadable)}
	}
	all := []int{e.Shape.Partition}
	for _, q := range e.Shape.Subqueries {
		all = append(all, q.Partition)
	}
	for _, p := range all {
		if p < 0 || p >= partitions {
			return Event{ID: e.ID, Err: fmt.Errorf("shape %s: %w: it names partition %d of %d", e.ID, ErrUnreadable, p, partitions)}
		}
	}
	return e
}
