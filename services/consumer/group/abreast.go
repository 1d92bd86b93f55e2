package group

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/group/selected"
	"github.com/shapebus/shapebus/services/consumer/live"
	"github.com/shapebus/shapebus/services/consumer/reconcile"
)

// After a crash each shape stands where its own log ends, so a chain may have as many stages as shapes. They go through a unit
// first, which takes all of them to one place. Those of one depth read the change log together there, once for all, from where the last of
// them stands. Behind it those of one table are one stage.

// readOn takes stages of one depth from where they stand to the unit's end.
func (g *group) readOn(ctx context.Context, stages []*stage) error {
	for _, st := range stages {
		for _, t := range st.Deferred {
			if _, err := st.again(ctx, t); err != nil {
				return g.endsOnly(st, err)
			}
		}
		st.Again()
	}
	last := slices.MinFunc(stages, func(a, b *stage) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.seq, b.seq)) })
	cursor := changelog.NewCursor(g.s.Changes, g.s.Recent)
	defer cursor.Close() //nolint:contextcheck // as in stream.Reader.Close
	cursor.Begin(last.At, last.seq+1)
	feed := changelog.NewFeed(g.s.Cfg.Source, g.s.Relations, &g.decoder)
	for slices.ContainsFunc(stages, func(st *stage) bool { return st.Unit != nil }) {
		m, ok, err := cursor.Read(ctx)
		switch {
		case errors.Is(err, stream.ErrGap):
			return g.discarded(stages, last, m)
		case err == nil && ok:
			err = g.message(ctx, feed, m, stages)
		case err == nil:
			err = cursor.Wait(ctx, g.s.Cfg.Nudge, func() { g.s.Nudge(ctx, g.unit.ID) })
		}
		if err != nil {
			return err
		}
	}
	for _, st := range stages {
		st.readFrom() //nolint:contextcheck // as in stream.Reader.Close
	}
	return nil
}

// discarded ends the members of those stages that stand before what is not in the change log any more, the last of them in any
// case. m is the message behind it.
func (g *group) discarded(stages []*stage, last *stage, m stream.Received) error {
	step, err := stream.StepOf(&m)
	var failed error
	for _, st := range stages {
		if st == last || err == nil && step.Told && st.At < step.After {
			failed = g.endsOnly(st, &live.FinalError{Err: errors.New(live.ReasonDiscarded)})
		}
	}
	return failed
}

// unite makes one stage of those of one table and depth that have come to the same place, and reports whether there were
// any. Right behind a unit's end.
func (g *group) unite(ctx context.Context) (united []*stage, err error) {
	type kind struct {
		table    uint32
		depth    int
		at       changelog.Place
		deferred string
	}
	kinds := map[kind][]*stage{}
	for _, st := range g.stages {
		k := kind{st.table, st.depth, st.place(), wire.FormatDeferred(reconcile.LSNs(st.Deferred))}
		kinds[k] = append(kinds[k], st)
	}
	maps.DeleteFunc(kinds, func(_ kind, stages []*stage) bool { return len(stages) == 1 })
	if len(kinds) == 0 {
		return nil, nil
	}
	err = g.s.OnMain(ctx, func(context.Context) error {
		g.mu.Lock()
		interrupted := len(g.ending) > 0 || g.into != nil || g.hasLost()
		g.mu.Unlock()
		if interrupted {
			return errRegroup
		}
		for k, stages := range kinds {
			var members []*follow.Follower
			creating, deferred := map[string]*creation{}, stages[0].Deferred
			for _, st := range stages {
				st.reset() //nolint:contextcheck // as in stream.Reader.Close
				maps.Copy(creating, st.creating)
				members = slices.AppendSeq(members, maps.Values(st.members))
			}
			g.mu.Lock()
			for _, st := range stages {
				clear(st.members)
			}
			g.mu.Unlock()
			for _, f := range members {
				g.s.LetGo(f.ID, g)
				f.Detach()
			}
			g.clear()
			st := g.addStage(members, k.at, deferred)
			st.inherit(stages, creating)
			parts := make([]*selected.Sets, 0, len(stages))
			for _, from := range stages {
				parts = append(parts, from.sets)
			}
			st.sets.TouchedIn(parts)
			united = append(united, st)
		}
		return nil
	})
	return united, err
}
