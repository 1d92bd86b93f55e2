package consumer

import (
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// What value sets are told of inner shapes whose partition cannot be written.

// stop is told that an inner shape has left the main loop without being
// written any further. What the main loop has read is noted: its verdicts come
// once the shape has been written so far.
func (s *sets) stop(handle string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil {
		l.live, l.known = false, s.scanned
		s.tell()
	}
}

// recheck makes the main loop look at who depends on an inner shape, if that is
// not with the main loop.
func (s *sets) recheck(handle string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l == nil || !l.live {
		s.fresh = append(s.fresh, handle)
		s.stale.Store(true)
	}
}

// resume is told where the log of an inner shape stands that goes on, and from
// where its changes are noted again. What was noted beyond that of a shape with
// subqueries does not count: its units come again, with other barriers.
func (s *sets) resume(handle string, committed change.Offset, from change.LSN, units bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[handle]
	if l == nil {
		return
	}
	if l.settled == nil {
		l.since, l.settled = committed.LSN, &committed
	}
	if units {
		l.known = min(l.known, from)
		l.changes = slices.DeleteFunc(l.changes, func(at change.Offset) bool { return at.LSN > from })
	}
	s.tell()
}
