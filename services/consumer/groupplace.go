package consumer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// groupsAt lists the places of the groups for a checkpoint.
func (s *session) groupsAt() []wire.ParkedAt {
	var all []wire.ParkedAt
	for g := range s.groups {
		g.mu.Lock()
		if g.began {
			at := wire.ParkedAt{LSN: uint64(g.at.lsn), Aside: wire.FormatAside(reconcile.LSNs(g.aside))}
			for _, f := range g.members {
				if !f.life.over() { // else it is about to leave, and may be in another group already
					at.Handles = append(at.Handles, f.handle)
				}
			}
			slices.Sort(at.Handles)
			all = append(all, at)
		}
		g.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b wire.ParkedAt) int { return strings.Compare(fmt.Sprint(a.Handles), fmt.Sprint(b.Handles)) })
	return all
}

// floorOf is where a group starts to read the change log.
func (g *group) floorOf() place {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.aside) > 0 {
		return place{g.aside[0].LSN, g.aside[0].First}
	}
	return place{g.at.lsn + 1, g.at.seq + 1}
}

// placeOf finds where an outer shape's log stands: by its last commit marker,
// or by a checkpoint that says more. ok is false when nothing tells.
func placeOf(rec *registry.Shape, live bool, tail wire.Tail, cp wire.Checkpoint) (at change.LSN, aside string, ok bool) {
	at, aside, ok = tail.Committed.LSN, tail.Aside, tail.Committed.LSN != 0
	for _, p := range cp.Parked {
		if slices.Contains(p.Handles, rec.Handle) {
			if change.LSN(p.LSN) > at || change.LSN(p.LSN) == at && len(p.Aside) < len(aside) {
				at, aside, ok = change.LSN(p.LSN), p.Aside, true
			}
			return at, aside, ok
		}
	}
	if live && change.LSN(cp.LSN) >= at {
		at, aside, ok = change.LSN(cp.LSN), "", true
	}
	return at, aside, ok
}
