package valuesets

import "github.com/shapebus/shapebus/pkg/change"

// What value sets are told of inner shapes whose partition cannot be written.

// Stop is told that an inner shape has left the main loop without being
// written any further. What the main loop has read is noted: its verdicts come
// once the shape has been written so far.
func (s *Sets) Stop(handle string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil {
		l.live, l.known = false, s.scanned
		s.tell()
	}
}

// Recheck makes the main loop look at who depends on an inner shape, if that is
// not with the main loop.
func (s *Sets) Recheck(handle string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l == nil || !l.live {
		s.fresh = append(s.fresh, handle)
		s.stale.Store(true)
	}
}

// Rewind is told where the log of an inner shape with subqueries stands that
// goes on from a place. What was noted beyond does not count: its units come again,
// with other barriers.
func (s *Sets) Rewind(handle string, from change.LSN, committed change.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil {
		l.known = min(l.known, from)
		l.markers.Rewind(from, committed)
		s.tell()
	}
}
