package consumer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/stream"
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
				at.Handles = append(at.Handles, f.handle)
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

// recovered is an outer shape and where its log stands after a restart.
type recovered struct {
	f     *follower
	rec   *registry.Shape
	at    change.LSN
	aside string
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
