package valuesets

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Sets are the value sets that the session's outer shapes select from, and
// how far their inner shapes are. It answers two questions of those who go
// through the change log: what a commit changed in a set, and what a set is at a
// place. It waits until the answer is certain. Safe for concurrent use.
type Sets struct {
	cfg    Config
	mu     sync.Mutex
	byName map[string]*Set
	inner  map[string]*innerLog // by handle
	// scanned is the last transaction that the main loop has read whole: what
	// it says of inner shapes that are live holds up to there.
	scanned change.LSN
	fresh   []string      // inner shapes whose logs changed since the main loop last asked
	stale   atomic.Bool   // fresh is not empty
	news    chan struct{} // closed and replaced when anything here changes
	waiting int           // goroutines waiting for news
}

// Set is one set of values. Its fields belong to Sets.mu.
type Set struct {
	name string
	from registry.Subquery

	history   History
	latest    change.Offset   // of the last verdict that came before the history was loaded
	following <-chan struct{} // closed when no verdict will be missed any more
	loading   chan struct{}   // holds a token while somebody loads the history
	users     int             // who hold views of the history's base
}

// Unit reports whether its inner shape has subqueries itself, and so goes through units.
func (v *Set) Unit() bool { return v.from.Unit }

// Name names the set; it is the same for all shapes that select by it.
func (v *Set) Name() string { return v.name }

// Handle is that of the set's inner shape.
func (v *Set) Handle() string { return v.from.Handle }

// ErrGone says that what the verdicts say of a place is not held any more. The
// set is loaded again before the next attempt.
var ErrGone = errors.New("what the subquery selected at that place is not held any more")

// Config is what reading the sets needs.
type Config struct {
	JS       jetstream.JetStream
	Source   topology.Source
	Replicas int // of the stream of verdicts, which is made if there is none yet
	Log      *slog.Logger
	Values   *atomic.Int64 // in the sets, which grows by what is loaded
	Trouble  *service.Trouble
	// Poisoned is told of a verdict on a set that cannot be understood.
	Poisoned func(ctx context.Context, set string, err error) error
}

// NewSets makes sets of which none is known yet.
func NewSets(cfg Config) *Sets {
	return &Sets{cfg: cfg, byName: map[string]*Set{}, inner: map[string]*innerLog{}, news: make(chan struct{})}
}

// Add returns the set of a subquery, and whether it is new. The commits of a new
// one's inner shape are to be noted from now on. following is closed when its verdicts are read.
func (s *Sets) Add(q registry.Subquery, following <-chan struct{}) (set *Set, added bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := q.ValueSet()
	if set := s.byName[name]; set != nil {
		return set, false
	}
	set = &Set{name: name, from: q, following: following, loading: make(chan struct{}, 1)}
	s.byName[name] = set
	if s.inner[q.Handle] == nil {
		s.inner[q.Handle] = &innerLog{}
	}
	return set, true
}

// Forget drops an inner shape that has ended, with its sets, and returns these.
func (s *Sets) Forget(handle string) (gone []*Set) {
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

// upTo is the marker whose verdict tells all up to a commit; see valuesets.Markers. ok
// is false while that is not known. Called with mu held.
func (s *Sets) upTo(set *Set, lsn change.LSN) (last change.Offset, ok bool) {
	l := s.inner[set.from.Handle]
	if !l.reaches(lsn, s.scanned) {
		return change.Offset{}, false
	}
	return l.markers.UpTo(lsn)
}

// Verdicts waits until all is known about what the commit at lsn does to a
// set, and returns the verdicts on it. None means that it does not change the
// inner shape. That a verdict comes is certain, unless the inner shape ends: then
// ctx must end. It fails with errGone when the set has to be loaded again.
func (s *Sets) Verdicts(ctx context.Context, set *Set, lsn change.LSN) (verdicts []*wire.Verdict, err error) {
	var answer Answer
	err = s.wait(ctx, func() bool {
		last, ok := s.upTo(set, lsn)
		if !ok || s.scanned < lsn {
			return false
		}
		verdicts, answer = set.history.On(lsn, last)
		return answer != Wait || !set.history.Loaded()
	})
	if err == nil && answer != Known {
		err = ErrGone
	}
	return verdicts, err
}

// Between waits until all verdicts on a set up to a marker of its inner shape's log have come, and returns those that are
// not in the set as it stands at lsn without those deferred. It fails with ErrGone when the set has to be loaded again.
func (s *Sets) Between(ctx context.Context, set *Set, lsn change.LSN, deferred []change.LSN, to change.Offset) (verdicts []*wire.Verdict, err error) {
	var answer Answer
	err = s.wait(ctx, func() bool {
		verdicts, answer = set.history.Between(lsn, deferred, to)
		return answer != Wait || !set.history.Loaded()
	})
	if err == nil && answer != Known {
		err = ErrGone
	}
	return verdicts, err
}

// View waits until a set is known as it stands after every commit up to lsn but
// those deferred, for a group that gives it back with release. It fails with errGone
// when the set has to be loaded again.
func (s *Sets) View(ctx context.Context, set *Set, lsn change.LSN, deferred []change.LSN) (*valueset.View, error) {
	return s.view(ctx, set, lsn, deferred, func() (change.Offset, bool) { return s.upTo(set, lsn) })
}

// ViewOwn is View for the group that writes the inner shape's log, which ends with the marker at committed. What this has not
// been written up to lsn it is not written while the group looks, so only verdicts are waited for.
func (s *Sets) ViewOwn(ctx context.Context, set *Set, lsn change.LSN, deferred []change.LSN, committed change.Offset) (*valueset.View, error) {
	return s.view(ctx, set, lsn, deferred, func() (change.Offset, bool) { return committed, true })
}

// view is View, given the marker whose verdict is waited for; ok is false while that is not known.
func (s *Sets) view(ctx context.Context, set *Set, lsn change.LSN, deferred []change.LSN, upTo func() (last change.Offset, ok bool)) (v *valueset.View, err error) {
	var answer Answer
	err = s.wait(ctx, func() bool {
		last, ok := upTo()
		if !ok {
			return false
		}
		if answer = set.history.At(lsn, deferred, last); answer == Known {
			set.users++
			v = set.history.View(lsn, deferred)
		}
		return answer != Wait || !set.history.Loaded()
	})
	if err == nil && answer != Known {
		err = ErrGone
	}
	return v, err
}

// Holds reports whether what is held of a set reaches back to a place, as far as
// can be said: what is yet to come may tell.
func (s *Sets) Holds(set *Set, lsn change.LSN) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[set.from.Handle]
	if l == nil || !set.history.Loaded() {
		return false
	}
	last, _ := l.markers.UpTo(lsn)
	return set.history.At(lsn, nil, last) != Gone
}

// Release gives back a view.
func (s *Sets) Release(set *Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set.users--
}

// Behind reports whether a commit behind lsn is known to have changed the set's inner shape.
func (s *Sets) Behind(set *Set, lsn change.LSN) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[set.from.Handle]
	return l != nil && l.markers.Behind(lsn) || set.history.Latest(lsn)
}

// condenseLeast is in bytes. The main loop waits while a set is condensed.
const condenseLeast = 1 << 20

// Trim drops what nobody needs who has everything up to floor, and folds the
// main loop's views into their bases where nobody else looks at these. Runs on
// the main loop; main is how far that is, and view its view of a set, nil if it has none.
// It returns the number of values.
func (s *Sets) Trim(floor, main change.LSN, view func(set string) *valueset.View) (values int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.inner {
		l.markers.Trim(floor)
		l.spans = slices.DeleteFunc(l.spans, func(u span) bool { return u.to < floor })
	}
	for _, set := range s.byName {
		values += int64(set.history.Len())
		// What the main loop has yet to be told of may be missing in its view.
		if v := view(set.name); set.users == 0 && v != nil && len(s.fresh) == 0 {
			set.history.Fold(v, main)
		}
		set.history.Condense(floor, condenseLeast)
		set.history.Trim(floor)
	}
	return values
}

// Get returns a set that is known.
func (s *Sets) Get(name string) *Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[name]
}

// IsLive reports whether the set's inner shape is with the main loop.
func (s *Sets) IsLive(set *Set) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.inner[set.from.Handle]
	return l != nil && l.live
}
