package valuesets

import (
	"context"
	"slices"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
)

// innerLog is how far the log of an inner shape is, as this process writes it.
type innerLog struct {
	live    bool       // with the main loop, so that it is as far as sets.scanned
	known   change.LSN // when it is not live: up to where it has been written
	markers Markers
	spans   []span
}

// span is a unit of an inner shape with subqueries: between two places the log stands still, and at the latter all comes that
// was committed since the former.
type span struct{ from, to change.LSN }

// Span is told of a unit of an inner shape. What it deferred from an earlier one counts as its beginning.
func (s *Sets) Span(handle string, from, to change.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil {
		l.spans = append(l.spans, span{from, to})
	}
}

// Settled reports whether what a set is behind the commit at lsn, but those deferred, is what its verdicts say: where its inner shape
// has subqueries, no unit of that may reach beyond lsn or hold one of those deferred. Which units there are is known once the shape's
// log has been written up to lsn, so it waits for that. Of a shape that ends meanwhile nothing is settled.
func (s *Sets) Settled(ctx context.Context, set *Set, lsn change.LSN, deferred []change.LSN) (settled bool, err error) {
	if !set.from.Unit {
		return true, nil
	}
	err = s.wait(ctx, func() bool {
		l := s.inner[set.from.Handle]
		settled = l != nil && l.settled(lsn, deferred)
		return l == nil || l.reaches(lsn, s.scanned)
	})
	return settled, err
}

// settled is Settled by the units that are known. Called with mu held.
func (l *innerLog) settled(lsn change.LSN, deferred []change.LSN) bool {
	for _, u := range l.spans {
		if u.from < lsn && lsn < u.to || slices.ContainsFunc(deferred, func(a change.LSN) bool { return u.from < a && a <= u.to }) {
			return false
		}
	}
	// What was before it began to be noted is not known.
	return len(deferred) == 0 || l.markers.anchor.LSN < deferred[0]
}

// Spanned reports whether the inner shape of a set has been through units behind lsn: what it selects there is not known commit by
// commit.
func (s *Sets) Spanned(set *Set, lsn change.LSN) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[set.from.Handle]
	return set.from.Unit && l != nil && slices.ContainsFunc(l.spans, func(u span) bool { return lsn < u.to })
}

// Watched reports whether a shape is an inner one.
func (s *Sets) Watched(handle string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner[handle] != nil
}

// Inner are the inner shapes whose sets are known, by handle: one of the subqueries that select from each.
func (s *Sets) Inner() map[string]registry.Subquery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]registry.Subquery{}
	for _, set := range s.byName {
		all[set.from.Handle] = set.from
	}
	return all
}

// Note is told that an inner shape's log changes with the commit at an offset,
// before anything else is told of that commit.
func (s *Sets) Note(handle string, at change.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[handle]
	if l == nil {
		return
	}
	if len(s.fresh) == 0 || s.fresh[len(s.fresh)-1] != handle {
		s.fresh = append(s.fresh, handle)
		s.stale.Store(true)
	}
	l.markers.Note(at)
}

// TakeFresh returns the inner shapes whose logs changed since the last call.
// It costs next to nothing when there are none.
func (s *Sets) TakeFresh() []string {
	if !s.stale.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := s.fresh
	s.fresh = nil
	s.stale.Store(false)
	return fresh
}

// Advance is told how far the main loop has read.
func (s *Sets) Advance(scanned change.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scanned = max(s.scanned, scanned)
	s.tell()
}

// Place is told where an inner shape is: with the main loop, or else behind it.
func (s *Sets) Place(handle string, live bool, known change.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil {
		l.live, l.known = live, known
		s.tell()
	}
}

// Anchor is told the last commit marker of an inner shape's log of those that
// were not noted. Every later one is.
func (s *Sets) Anchor(handle string, committed change.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil {
		l.markers.Anchor(committed)
		s.tell()
	}
}

// Anchored reports whether Anchor has been told of an inner shape's log.
func (s *Sets) Anchored(handle string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[handle]
	return l != nil && l.markers.Anchored()
}

// reaches reports whether an inner shape's log has been written up to a
// commit. Called with mu held.
func (l *innerLog) reaches(lsn, scanned change.LSN) bool {
	return l != nil && (l.live && scanned >= lsn || l.known >= lsn)
}
