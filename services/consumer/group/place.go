package group

import (
	"iter"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// Places lists the places of the groups for the checkpoints, by partition: each speaks of its
// own shapes. Tens of thousands may be in groups, and a checkpoint is written every second.
func (s *Groups) Places() map[int][]wire.ParkedAt {
	all := map[int][]wire.ParkedAt{}
	for g := range s.All {
		g.mu.Lock()
		for st := range g.all() {
			if !st.began {
				continue
			}
			deferred := wire.FormatDeferred(reconcile.LSNs(st.Deferred))
			for p, handles := range st.handles() {
				all[p] = append(all[p], wire.ParkedAt{LSN: uint64(st.At), Deferred: deferred, Handles: handles})
			}
		}
		g.mu.Unlock()
	}
	for _, at := range all {
		// No shape is in two groups.
		slices.SortFunc(at, func(a, b wire.ParkedAt) int { return strings.Compare(a.Handles[0], b.Handles[0]) })
	}
	return all
}

// handles are the members' handles by partition, ascending. They are kept until a member leaves or its partition is lost. Called with mu held.
func (st *stage) handles() map[int][]string {
	if st.listed == nil {
		st.listed = map[int][]string{}
		for _, f := range st.members {
			if !f.Writer.Over() { // else it is about to leave, and may be in another group already
				st.listed[f.Partition] = append(st.listed[f.Partition], f.Handle)
			}
		}
		for _, handles := range st.listed {
			slices.Sort(handles)
		}
	}
	return st.listed
}

// floor is where a stage starts to read the change log. ok is false for one
// that has not chosen a place yet: it needs nothing. Called with mu held.
func (st *stage) floor() (p changelog.Place, ok bool) {
	if len(st.Deferred) > 0 {
		return changelog.Place{LSN: st.Deferred[0].LSN, Seq: st.Deferred[0].First}, true
	}
	return changelog.Place{LSN: st.At + 1, Seq: st.seq + 1}, st.place() != changelog.Place{}
}

// floors are where the group's stages start to read the change log.
func (g *group) floors() (all []changelog.Place) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for st := range g.all() {
		if p, ok := st.floor(); ok {
			all = append(all, p)
		}
	}
	return all
}

// Floors are where the groups start to read the change log, of those that have chosen a place.
func (s *Groups) Floors() iter.Seq[changelog.Place] {
	return func(yield func(changelog.Place) bool) {
		for g := range s.All {
			for _, p := range g.floors() {
				if !yield(p) {
					return
				}
			}
		}
	}
}
