package changelog

import (
	"slices"
	"sync"

	"github.com/shapebus/shapebus/pkg/change"
)

// looks remember what Visibility has forgotten since somebody began to open a snapshot. Another snapshot, opened later, may be
// told of first: what it sees and the earlier one does not would be missing when the earlier one is judged.
type looks struct {
	mu     sync.Mutex
	open   []*Look   // in the order in which they began
	pruned []readTxn // since the first of them began
	base   int       // how many were forgotten before these
}

// Look is the time in which a snapshot is opened, and judged.
type Look struct {
	of    *looks
	began int  // how many transactions had been forgotten when it began
	lost  bool // more have been since than are remembered
}

// Look begins a look: before the snapshot is opened. It is to be closed. Safe for concurrent use, as the rest of
// Visibility is not.
func (v *Visibility) Look() *Look {
	s := &v.looks
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &Look{of: s, began: s.base + len(s.pruned)}
	s.open = append(s.open, l)
	return l
}

// Close ends the look.
func (l *Look) Close() {
	s := l.of
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = slices.DeleteFunc(s.open, func(o *Look) bool { return o == l })
	s.trim()
}

// trim drops what happened before the first open look. Called with mu held.
func (s *looks) trim() {
	drop := len(s.pruned)
	if len(s.open) > 0 {
		drop = min(drop, max(0, s.open[0].began-s.base))
	}
	s.pruned, s.base = slices.Delete(s.pruned, 0, drop), s.base+drop
}

// prune is told what is forgotten of a list, since a snapshot sees it.
func (s *looks) prune(list []readTxn, by change.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range list {
		if !by.Sees(t.xid) {
			continue
		}
		if len(s.open) == 0 {
			s.base++
			continue
		}
		s.pruned = append(s.pruned, t)
	}
	if len(s.pruned) > maxListed { // somebody has been looking for very long
		s.loseAll()
	}
}

// lose is told that transactions are forgotten of which there is no list.
func (s *looks) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseAll()
}

// loseAll gives up all open looks. Called with mu held.
func (s *looks) loseAll() {
	for _, l := range s.open {
		l.lost = true
	}
	s.base, s.pruned = s.base+len(s.pruned), nil
}

// since is what was forgotten since a look began, and whether that is all.
func (s *looks) since(l *Look) (pruned []readTxn, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.lost {
		return nil, false
	}
	return slices.Clone(s.pruned[l.began-s.base:]), true
}
