package registry

import (
	"context"
	"fmt"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Alive reports whether the shape has neither ended nor is to be deleted.
func (s *Shape) Alive() bool {
	return s.State != control.StateEnded && s.State != control.StateDeleting
}

// Within makes a record that describes no table, or speaks of partitions which the source does not have, one that cannot be
// read. Where it names a partition of which this process has not heard, the source's record says whether there is one: it is
// written before any shape is made there. What cannot be asked now is taken to be there.
func (r *Shapes) Within(ctx context.Context, e Event, known *Partitions) Event {
	if e.Shape == nil {
		return e
	}
	if e.Shape.Table == nil {
		return Event{ID: e.ID, Err: fmt.Errorf("shape %s: %w: it describes no table", e.ID, ErrUnreadable)}
	}
	lowest, highest := e.Shape.partitions()
	if highest >= known.Count() && highest < topology.MaxPartitions {
		source, err := r.Source(ctx)
		if err != nil {
			return e
		}
		known.Raise(min(source.Partitions, topology.MaxPartitions))
	}
	for _, p := range []int{lowest, highest} {
		if n := known.Count(); p < 0 || p >= n {
			return Event{ID: e.ID, Err: fmt.Errorf("shape %s: %w: it names partition %d of %d", e.ID, ErrUnreadable, p, n)}
		}
	}
	return e
}

// partitions returns the lowest and the highest one that the record names.
func (s *Shape) partitions() (lowest, highest int) {
	lowest, highest = s.Partition, s.Partition
	for _, q := range s.Subqueries {
		lowest, highest = min(lowest, q.Partition), max(highest, q.Partition)
	}
	return lowest, highest
}
