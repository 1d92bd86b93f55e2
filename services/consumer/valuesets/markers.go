package valuesets

import (
	"slices"
	"sort"

	"github.com/shapebus/shapebus/pkg/change"
)

// Markers are the commit markers of an inner shape's log. Behind the anchor all
// of them are listed; of those up to it only the last is known, the anchor
// itself. The zero value knows nothing.
type Markers struct {
	anchored bool
	anchor   change.Offset
	list     []change.Offset // ascending, one for each commit; those that were noted
}

// Note adds what a commit did to the log: first that it changes it, with a zero
// Op, then its marker. Several markers of one commit count as the last of them.
func (m *Markers) Note(at change.Offset) {
	n := len(m.list)
	if n == 0 || m.list[n-1].LSN < at.LSN {
		m.list = append(m.list, at)
		return
	}
	// It may go through a part of the change log again.
	i := sort.Search(n, func(i int) bool { return m.list[i].LSN >= at.LSN })
	if m.list[i].LSN == at.LSN {
		m.list[i].Op = max(m.list[i].Op, at.Op)
		return
	}
	m.list = slices.Insert(m.list, i, at)
}

// Anchor is told the last of the markers that were not noted. All behind it are.
func (m *Markers) Anchor(last change.Offset) {
	if !m.anchored || m.anchor.Before(last) {
		m.anchored, m.anchor = true, last
	}
}

// Anchored reports whether anything is known.
func (m *Markers) Anchored() bool { return m.anchored }

// UpTo returns a marker whose verdict, once read with all before it, tells all
// that commits up to lsn did: the last marker up to lsn, or the anchor where that is
// further. ok is false while nothing is known. The log must have been written up to lsn.
func (m *Markers) UpTo(lsn change.LSN) (last change.Offset, ok bool) {
	if !m.anchored {
		return change.Offset{}, false
	}
	last = m.anchor
	i := sort.Search(len(m.list), func(i int) bool { return m.list[i].LSN > lsn })
	if i > 0 && last.Before(m.list[i-1]) {
		last = m.list[i-1]
	}
	return last, true
}

// Behind reports whether a commit behind lsn is known to have changed the log.
func (m *Markers) Behind(lsn change.LSN) bool {
	if n := len(m.list); n > 0 && m.list[n-1].LSN > lsn {
		return true
	}
	return m.anchor.LSN > lsn
}

// Rewind forgets the markers behind a commit: the log goes on from there and may
// take other ones. last is the last marker that the log has.
func (m *Markers) Rewind(lsn change.LSN, last change.Offset) {
	n := sort.Search(len(m.list), func(i int) bool { return m.list[i].LSN > lsn })
	m.list = m.list[:n]
	if m.anchored && m.anchor.LSN > lsn {
		m.anchor = last
	}
}

// Trim forgets which commits below an LSN changed the log. Nothing is forgotten
// before there is an anchor, since that could not tell of it.
func (m *Markers) Trim(below change.LSN) {
	if !m.anchored {
		return
	}
	n := sort.Search(len(m.list), func(i int) bool { return m.list[i].LSN >= below })
	if n > 0 {
		m.Anchor(m.list[n-1])
		m.list = slices.Delete(m.list, 0, n)
	}
}
