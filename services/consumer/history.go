package consumer

import (
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/wire"
)

// LSNs are places in one history of the database; see topology.History. What
// was written in another one says nothing about this one: checkpoints count as not
// there, and shapes whose logs have begun end.

// foreignShape reports whether a shape whose log has begun belongs to another history.
func (s *session) foreignShape(rec *registry.Shape, cp wire.Checkpoint) bool {
	if rec.History != "" {
		return s.Changes.Foreign(rec.History)
	}
	return s.Changes.Foreign(cp.History)
}

// sameHistory takes out of what is known of a shape what belongs to another history.
func (s *session) sameHistory(st *standing) {
	if s.foreignShape(st.rec, st.cp) {
		st.other = s.Changes.ReasonForeign()
	}
	if s.Changes.Foreign(st.cp.History) {
		st.cp, st.parked = wire.Checkpoint{}, nil
	}
}
