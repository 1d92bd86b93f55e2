package plane

import (
	"context"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// Quotas bound what all shapes of a source take together. 0 is no limit.
type Quotas struct {
	Shapes      int   // that have not ended, inner ones included
	ClauseBytes int64 // of their clauses and parameters
}

// check refuses one more shape if there is no room for it. Consumers that make shapes at the same
// moment may exceed a quota by some.
func (q Quotas) check(ctx context.Context, c *census, rec *registry.Shape) error {
	if q.Shapes <= 0 && q.ClauseBytes <= 0 {
		return nil
	}
	if err := c.await(ctx); err != nil {
		return err
	}
	shapes, bytes := c.alive()
	switch more := tallyOf(rec).bytes; {
	case q.Shapes > 0 && shapes >= q.Shapes:
		return refuse.With(control.CodeQuota, "the source has %d shapes, as many as it may have; delete some, or raise --max-shapes", shapes)
	case q.ClauseBytes > 0 && bytes+more > q.ClauseBytes:
		return refuse.With(control.CodeQuota, "the clauses and parameters of the source's shapes have %d bytes, and with %d more there would be more than the %d allowed; delete some shapes, or raise --max-clause-bytes", bytes, more, q.ClauseBytes)
	}
	return nil
}
