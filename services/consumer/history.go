package consumer

import (
	"cmp"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/wire"
)

// LSNs are places in one history of the database; see topology.History. What
// was written in another one says nothing about this one: checkpoints count as not
// there, as registry.ReadCheckpoint says, and shapes whose logs have begun end.

// foreign says why a shape whose log has begun cannot go on in the change log's history; "" if it can.
func (s *session) foreign(rec *registry.Shape, cp wire.Checkpoint) string {
	if !s.Changes.Foreign(cmp.Or(rec.History, cp.History)) {
		return ""
	}
	return s.Changes.ReasonForeign()
}
