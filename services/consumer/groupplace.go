package consumer

import (
	"context"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/stream"
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
			lsns := make([]change.LSN, 0, len(g.aside))
			for _, t := range g.aside {
				lsns = append(lsns, t.LSN)
			}
			aside := wire.FormatAside(lsns)
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

// handles are the members' handles by partition, ascending. They are kept until a member leaves.
// Called with mu held.
func (g *group) handles() map[int][]string {
	if g.listed == nil {
		g.listed = map[int][]string{}
		for _, f := range g.members {
			g.listed[f.partition] = append(g.listed[f.partition], f.handle)
		}
		for _, handles := range g.listed {
			slices.Sort(handles)
		}
	}
	return g.listed
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

// recovered is an outer shape and where its log stands after a restart.
type recovered struct {
	f     *follower
	rec   *registry.Shape
	at    change.LSN
	aside string
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

// resume puts outer shapes that stand at the same place in groups. They join
// the main loop once that has passed what it has to read again.
func (s *session) resume(ctx context.Context, all []recovered) error {
	type kind struct {
		at    change.LSN
		aside string
		table uint32
		depth int
		id    string // of a shape that is being created: it is alone
	}
	groups := map[kind][]recovered{}
	for _, r := range all {
		if reason := s.missing(r.rec); reason != "" { // its inner shape ended just now
			if err := s.endFollower(ctx, r.f, reason, true); err != nil {
				return err
			}
			continue
		}
		k := kind{r.at, r.aside, r.f.relation.OID, r.f.outer.depth, ""}
		if r.rec.State == control.StateCreating {
			k.id = r.f.id
		}
		groups[k] = append(groups[k], r)
	}
	for k, members := range groups {
		lsns, err := wire.ParseAside(k.aside)
		if err != nil {
			return err
		}
		seq, err := stream.Seek(ctx, s.changes, k.at+1, 0)
		if err != nil {
			return err
		}
		var aside []reconcile.Txn
		for _, lsn := range lsns {
			first, err := stream.Seek(ctx, s.changes, lsn, 0)
			if err != nil {
				return err
			}
			aside = append(aside, reconcile.Txn{LSN: lsn, First: first})
		}
		followers := make([]*follower, 0, len(members))
		for _, m := range members {
			followers = append(followers, m.f)
		}
		g := s.newGroup(followers, place{k.at, seq - 1}, aside)
		if rec := members[0].rec; k.id != "" {
			g.creating = &creation{rec: rec, f: members[0].f}
		}
		s.startGroup(ctx, g)
	}
	return nil
}
