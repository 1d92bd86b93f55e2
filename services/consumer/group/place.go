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
		if g.began {
			aside := wire.FormatAside(reconcile.LSNs(g.aside))
			for p, handles := range g.handles() {
				all[p] = append(all[p], wire.ParkedAt{LSN: uint64(g.at.LSN), Aside: aside, Handles: handles})
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

// handles are the members' handles by partition, ascending. They are kept until a member leaves or its
// partition is lost.
// Called with mu held.
func (g *group) handles() map[int][]string {
	if g.listed == nil {
		g.listed = map[int][]string{}
		for _, f := range g.members {
			if !f.Writer.Over() { // else it is about to leave, and may be in another group already
				g.listed[f.Partition] = append(g.listed[f.Partition], f.Handle)
			}
		}
		for _, handles := range g.listed {
			slices.Sort(handles)
		}
	}
	return g.listed
}

// floorOf is where a group starts to read the change log. ok is false for one
// that has not chosen a place yet: it needs nothing.
func (g *group) floorOf() (p changelog.Place, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.aside) > 0 {
		return changelog.Place{LSN: g.aside[0].LSN, Seq: g.aside[0].First}, true
	}
	return changelog.Place{LSN: g.at.LSN + 1, Seq: g.at.Seq + 1}, g.at != changelog.Place{}
}

// Floors are where the groups start to read the change log, of those that have chosen a place.
func (s *Groups) Floors() iter.Seq[changelog.Place] {
	return func(yield func(changelog.Place) bool) {
		for g := range s.All {
			if p, ok := g.floorOf(); ok && !yield(p) {
				return
			}
		}
	}
}
