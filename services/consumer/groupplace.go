package consumer

import (
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// groupsAt lists the places of the groups for the checkpoints, by partition: each speaks of its
// own shapes. Tens of thousands may be in groups, and a checkpoint is written every second.
func (s *session) groupsAt() map[int][]wire.ParkedAt {
	all := map[int][]wire.ParkedAt{}
	for g := range s.groups {
		g.mu.Lock()
		if g.began {
			aside := wire.FormatAside(reconcile.LSNs(g.aside))
			for p, handles := range g.handles() {
				all[p] = append(all[p], wire.ParkedAt{LSN: uint64(g.at.lsn), Aside: aside, Handles: handles})
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
			if !f.life.over() { // else it is about to leave, and may be in another group already
				g.listed[f.partition] = append(g.listed[f.partition], f.handle)
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
func (g *group) floorOf() (p place, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.aside) > 0 {
		return place{g.aside[0].LSN, g.aside[0].First}, true
	}
	return place{g.at.lsn + 1, g.at.seq + 1}, g.at != place{}
}

// parkedPlaces are the places that a checkpoint names, by handle.
type parkedPlaces map[string]*wire.ParkedAt

func placesIn(cp *wire.Checkpoint) parkedPlaces {
	all := parkedPlaces{}
	for i := range cp.Parked {
		for _, h := range cp.Parked[i].Handles {
			all[h] = &cp.Parked[i]
		}
	}
	return all
}

// placeOf finds where an outer shape's log stands: by its last commit marker, or by a checkpoint
// that says more. cp is the checkpoint's LSN, parked what it says of shapes that are elsewhere. ok
// is false when nothing tells.
func placeOf(rec *registry.Shape, live bool, tail wire.Tail, cp change.LSN, parked parkedPlaces) (at change.LSN, aside string, ok bool) {
	at, aside, ok = tail.Committed.LSN, tail.Aside, tail.Committed.LSN != 0
	if p := parked[rec.Handle]; p != nil {
		if change.LSN(p.LSN) > at || change.LSN(p.LSN) == at && len(p.Aside) < len(aside) {
			at, aside, ok = change.LSN(p.LSN), p.Aside, true
		}
		return at, aside, ok
	}
	if live && cp >= at {
		at, aside, ok = cp, "", true
	}
	return at, aside, ok
}
