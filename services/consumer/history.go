package consumer

import (
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/wire"
)

// LSNs are places in one history of the database; see topology.History. What
// was written in another one says nothing about this one: checkpoints count as not
// there, and shapes whose logs have begun end.

// foreign reports whether an id is that of another history than the change
// log's. One that is not known may be the same.
func (s *session) foreign(id string) bool {
	return id != "" && s.history.ID != "" && id != s.history.ID
}

// foreignShape reports whether a shape whose log has begun belongs to another history.
func (s *session) foreignShape(rec *registry.Shape, cp wire.Checkpoint) bool {
	if rec.History != "" {
		return s.foreign(rec.History)
	}
	return s.foreign(cp.History)
}

// sameHistory takes out of what is known of a shape what belongs to another history.
func (s *session) sameHistory(st *standing) {
	if s.foreignShape(st.rec, st.cp) {
		st.other = s.reasonHistory()
	}
	if s.foreign(st.cp.History) {
		st.cp, st.parked = wire.Checkpoint{}, nil
	}
}

// reasonHistory tells readers why the shapes of another history end.
func (s *session) reasonHistory() string {
	reason := s.history.Reason
	if reason == "" {
		reason = "the change log tells another history of the database"
	}
	return reason + "; the shape has to be fetched again"
}
