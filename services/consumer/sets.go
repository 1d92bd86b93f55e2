package consumer

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/valueset"
	"github.com/shapebus/shapebus/pkg/wire"
)

// sets are the value sets that the session's outer shapes select from, and
// how far their inner shapes are. It answers two questions of those who go
// through the change log: did a transaction change an inner shape's log, so that a
// verdict on it will come; and what do the verdicts say. Safe for concurrent use.
type sets struct {
	mu     sync.Mutex
	byName map[string]*valueSet
	inner  map[string]*innerLog // by handle
	// scanned is the last transaction that the main loop has read whole: what
	// it says of inner shapes that are live holds up to there.
	scanned change.LSN
	fresh   []string      // inner shapes whose logs changed since the main loop last asked
	stale   atomic.Bool   // fresh is not empty
	news    chan struct{} // closed and made anew when anything here changes
	waiting int           // goroutines waiting for news
}

// valueSet is one set of values. Its fields belong to sets.mu, but for main.
type valueSet struct {
	name string
	from registry.Subquery

	base   *valueset.Set // nil until it is loaded
	at     change.Offset // up to where the inner shape's log is in base
	users  int           // groups that hold views of base
	passed change.Offset // the last verdict that was read, or at if that is further
	// whole is from where on every verdict is known, or will be: the first
	// base, or the first verdict if that is older. Valid once base is.
	whole change.LSN

	verdicts []*wire.Verdict // ascending; those that somebody may still need
	// read says that verdicts have been read: the first of them came after the
	// commit at first, the last one is about last.
	read        bool
	first, last change.Offset

	// main is the set where the main loop is; nil when no live shape depends
	// on it. version counts what it has been, and indexes are those of tables
	// that have it. Owned by the main loop.
	main    *valueset.View
	version uint64
	indexes map[string]*memberSet
}

// innerLog is how far the log of an inner shape is, as this process writes it.
type innerLog struct {
	live  bool       // with the main loop, so that it is as far as sets.scanned
	known change.LSN // when it is not live: up to where it has been written
	// since is from where on changes are complete. Before it, a verdict is what
	// tells, once those up to settled have been read.
	since   change.LSN
	settled *change.Offset  // nil until it is known
	changes []change.Offset // commits that changed the log, by commit; a unit's is that of its marker
}

func newSets() *sets {
	return &sets{byName: map[string]*valueSet{}, inner: map[string]*innerLog{}, news: make(chan struct{})}
}

// tell wakes everybody who waits. Called with mu held.
func (s *sets) tell() {
	if s.waiting > 0 {
		close(s.news)
		s.news = make(chan struct{})
	}
}

// wait waits until ok, called with mu held, says yes.
func (s *sets) wait(ctx context.Context, ok func() bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		news := s.news
		s.waiting++
		s.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
		}
		s.mu.Lock()
		s.waiting--
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// set returns the set of a subquery, and whether it is new. A new one's
// inner shape is watched from now on: changes are complete after since.
func (s *sets) set(q registry.Subquery, since change.LSN) (set *valueSet, added bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := q.ValueSet()
	set = s.byName[name]
	if set != nil && set.from.Handle != "" {
		return set, false
	}
	if set == nil {
		set = &valueSet{name: name}
		s.byName[name] = set
	}
	set.from = q
	if s.inner[q.Handle] == nil {
		s.inner[q.Handle] = &innerLog{since: since}
	}
	return set, true
}

// watched reports whether a shape is an inner one.
func (s *sets) watched(handle string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner[handle] != nil
}

// note is told that an inner shape's log changes with the commit at an offset,
// before anything else is told of that commit.
func (s *sets) note(handle string, at change.Offset) {
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
	n := len(l.changes)
	switch {
	case n > 0 && l.changes[n-1].LSN == at.LSN:
		l.changes[n-1].Op = max(l.changes[n-1].Op, at.Op)
	case n == 0 || l.changes[n-1].LSN < at.LSN:
		l.changes = append(l.changes, at)
	default: // it goes through a part of the change log again
		i := sort.Search(n, func(i int) bool { return l.changes[i].LSN >= at.LSN })
		if l.changes[i].LSN == at.LSN {
			l.changes[i].Op = max(l.changes[i].Op, at.Op)
		} else {
			l.changes = slices.Insert(l.changes, i, at)
		}
	}
}

// takeFresh returns the inner shapes whose logs changed since the last call.
// It costs next to nothing when there are none.
func (s *sets) takeFresh() []string {
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

// advance is told how far the main loop has read.
func (s *sets) advance(scanned change.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scanned = max(s.scanned, scanned)
	s.tell()
}

// place is told where an inner shape is: with the main loop, or else behind it.
func (s *sets) place(handle string, live bool, known change.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil {
		l.live, l.known = live, known
		s.tell()
	}
}

// settle is told the last commit marker of an inner shape's log, as of since or later.
func (s *sets) settle(handle string, committed change.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil && l.settled == nil {
		l.settled = &committed
		s.tell()
	}
}

// begin is told that an inner shape's changes are complete from now on only.
func (s *sets) begin(handle string, since change.LSN, committed change.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.inner[handle]; l != nil && l.since < since {
		l.since, l.settled = since, &committed
		s.tell()
	}
}

// forget drops an inner shape that has ended, with its sets, and returns these.
func (s *sets) forget(handle string) (gone []*valueSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inner, handle)
	for name, set := range s.byName {
		if set.from.Handle == handle {
			gone = append(gone, set)
			delete(s.byName, name)
		}
	}
	s.tell()
	return gone
}

// reaches reports whether an inner shape's log has been written up to a
// commit. Called with mu held.
func (l *innerLog) reaches(lsn, scanned change.LSN) bool {
	return l != nil && (l.live && scanned >= lsn || l.known >= lsn)
}

// changed returns the offset of the last verdict that a commit brings, if it
// brings one. Called with mu held, when the inner log reaches lsn.
func (s *sets) changed(set *valueSet, lsn change.LSN) (change.Offset, bool) {
	l := s.inner[set.from.Handle]
	if lsn <= l.since {
		i := sort.Search(len(set.verdicts), func(i int) bool { return set.verdicts[i].Offset.LSN > lsn })
		if i > 0 && set.verdicts[i-1].Offset.LSN == lsn {
			return set.verdicts[i-1].Offset, true
		}
		return change.Offset{}, false
	}
	i := sort.Search(len(l.changes), func(i int) bool { return l.changes[i].LSN >= lsn })
	if i < len(l.changes) && l.changes[i].LSN == lsn {
		return l.changes[i], true
	}
	return change.Offset{}, false
}

// verdicts waits until all is known about what the commit at lsn does to a
// set, and returns the verdicts on it. None means that it does not change the
// inner shape. That a verdict comes is certain, unless the inner shape ends: then
// ctx must end.
func (s *sets) verdicts(ctx context.Context, set *valueSet, lsn change.LSN) ([]*wire.Verdict, error) {
	var out []*wire.Verdict
	err := s.wait(ctx, func() bool {
		l := s.inner[set.from.Handle]
		if !l.reaches(lsn, s.scanned) || s.scanned < lsn {
			return false
		}
		if lsn <= l.since && (l.settled == nil || set.passed.Before(*l.settled)) {
			return false
		}
		at, ok := s.changed(set, lsn)
		if !ok {
			return true
		}
		if set.passed.Before(at) {
			return false
		}
		from := sort.Search(len(set.verdicts), func(i int) bool { return set.verdicts[i].Offset.LSN >= lsn })
		for _, v := range set.verdicts[from:] {
			if v.Offset.LSN != lsn {
				break
			}
			out = append(out, v)
		}
		return true
	})
	return out, err
}

// changesAfter reports whether a commit after lsn is known to have changed the set's inner shape.
func (s *sets) changesAfter(set *valueSet, lsn change.LSN) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[set.from.Handle]
	if l == nil {
		return false
	}
	if n := len(l.changes); n > 0 && l.changes[n-1].LSN > lsn {
		return true
	}
	n := len(set.verdicts)
	return n > 0 && set.verdicts[n-1].Offset.LSN > lsn
}

// view returns the set as it stands after every commit up to lsn but those
// aside, for a group that gives it back with release.
func (s *sets) view(set *valueSet, lsn change.LSN, aside []change.LSN) *valueset.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	set.users++
	v := valueset.NewView(set.base)
	for _, verdict := range set.verdicts {
		in := verdict.Offset.Compare(set.at) <= 0
		want := verdict.Offset.LSN <= lsn && !slices.Contains(aside, verdict.Offset.LSN)
		sign := int64(0)
		switch {
		case want && !in:
			sign = 1
		case in && !want:
			sign = -1
		}
		if sign != 0 {
			for _, d := range verdict.Deltas {
				v.Add(d.Key, sign*d.Count)
			}
		}
	}
	return v
}

// release gives back a view.
func (s *sets) release(set *valueSet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set.users--
}

// trim drops what nobody needs who has everything up to floor, and folds the
// main loop's views into their bases where nobody else looks at these. Runs on
// the main loop; main is how far that is. It returns the number of values.
func (s *sets) trim(floor, main change.LSN) (values int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.inner {
		n := sort.Search(len(l.changes), func(i int) bool { return l.changes[i].LSN >= floor })
		l.changes = slices.Delete(l.changes, 0, n)
	}
	for _, set := range s.byName {
		if set.base != nil {
			values += int64(set.base.Len())
		}
		if set.users == 0 && set.main != nil && set.main.Differs() > 0 {
			set.main.Fold()
			set.at = change.Offset{LSN: main, Op: math.MaxUint64}
		}
		n := sort.Search(len(set.verdicts), func(i int) bool { return set.verdicts[i].Offset.LSN >= floor || set.at.Before(set.verdicts[i].Offset) })
		set.verdicts = slices.Delete(set.verdicts, 0, n)
	}
	return values
}

// reachesBack reports whether all that happened to a set from lsn on is known.
func (s *sets) reachesBack(set *valueSet, lsn change.LSN) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return set.base != nil && (set.whole < lsn || len(set.verdicts) > 0 && set.verdicts[0].Offset.LSN < lsn)
}

// get returns a set that is known.
func (s *sets) get(name string) *valueSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[name]
}

// awaitSettled waits until a set's verdicts on all commits up to lsn have been read.
func (s *sets) awaitSettled(ctx context.Context, set *valueSet, lsn change.LSN) error {
	return s.wait(ctx, func() bool {
		l := s.inner[set.from.Handle]
		if set.base == nil || !l.reaches(lsn, s.scanned) || l.settled == nil || set.passed.Before(*l.settled) {
			return false
		}
		i := sort.Search(len(l.changes), func(i int) bool { return l.changes[i].LSN > lsn })
		return i == 0 || !set.passed.Before(l.changes[i-1])
	})
}

// isLive reports whether the set's inner shape is with the main loop.
func (s *sets) isLive(set *valueSet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[set.from.Handle]
	return l != nil && l.live
}
