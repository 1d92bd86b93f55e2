package consumer

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/services/consumer/create"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// lookSoon has the tables looked at now.
func (s *session) lookSoon() {
	select {
	case s.look <- struct{}{}:
	default: // somebody has asked already
	}
}

// watchCatalog looks at the tables of all shapes now and then. The stream tells
// of a changed table only with the table's next change, and never of a dropped
// one, of an attached partition, or of one that left the publication.
func (s *session) watchCatalog(ctx context.Context) error {
	t := time.NewTicker(s.c.cfg.CatalogInterval)
	defer t.Stop()
	s.lookSoon() // the first time
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-s.look:
		}
		err := s.checkTables(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			s.Log.WarnContext(ctx, "cannot look at the tables of shapes; changes of theirs show late", slog.Any("error", err))
		}
		failing = err != nil
	}
}

func (s *session) checkTables(ctx context.Context) error {
	var asked map[uint32]*onTable // shapes that come meanwhile may know more than the answer
	err := s.OnMain(ctx, func(context.Context) error {
		asked = s.byTable(0)
		return nil
	})
	if err != nil || len(asked) == 0 {
		return err
	}
	oids := slices.Collect(maps.Keys(asked))
	conn, err := s.Postgres.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	seen, err := snapshots.Current(ctx, conn.Conn()) // what it sees, the look behind it sees too
	if err != nil {
		return err
	}
	tables, err := pg.LookupTables(ctx, conn.Conn(), oids, s.c.cfg.Publication)
	if err != nil {
		return err
	}
	now := make(map[uint32]string, len(tables))
	for oid, t := range tables {
		now[oid] = t.Structure()
	}
	return s.OnMain(ctx, func(ctx context.Context) error {
		for oid, on := range asked {
			if err := s.endChanged(ctx, on, now[oid], tables[oid]); err != nil {
				return err
			}
		}
		s.seen = seen
		s.judgeFiles(moved(asked, tables, seen.LSN), seen.LSN)
		return nil
	})
}

// onTable is the shapes of one table.
type onTable struct {
	begun  []*follow.Follower // with the main loop or behind it, in groups
	parked []*create.Parked   // being created
}

// byTable lists all shapes by the oids of their tables, or those of one table unless it is 0. Inner
// shapes are among them, so the tables that subqueries select from are, too. Runs on the main loop.
func (s *session) byTable(only uint32) map[uint32]*onTable {
	all := map[uint32]*onTable{}
	on := func(oid uint32) *onTable {
		if all[oid] == nil {
			all[oid] = &onTable{}
		}
		return all[oid]
	}
	if only != 0 {
		if shapes := ours(s.Router.On(only)); len(shapes) > 0 {
			on(only).begun = shapes
		}
	} else {
		for oid, shapes := range s.Router.All() {
			if shapes = ours(shapes); len(shapes) > 0 {
				on(oid).begun = shapes
			}
		}
	}
	for oid, members := range s.groups.Members(only) {
		o := on(oid)
		o.begun = append(o.begun, members...)
	}
	for _, p := range s.creator.Creating(only) {
		o := on(p.Table.Relation.OID)
		o.parked = append(o.parked, p)
	}
	return all
}

// ours leaves out the shadows: the shapes' own processes look at their tables.
func ours(shapes []*follow.Follower) []*follow.Follower {
	return slices.DeleteFunc(shapes, func(f *follow.Follower) bool { return f.Shadow })
}

// endChanged ends the shapes of a table that is not what it was for them. now
// is nil, and structure "", when it is gone. Runs on the main loop.
func (s *session) endChanged(ctx context.Context, on *onTable, structure string, now *pg.TableInfo) error {
	for _, f := range on.begun {
		if f.Structure == structure {
			continue
		}
		if s.Live[f.ID] != f && !s.inGroup(f) {
			continue // it has ended meanwhile
		}
		if err := s.EndRunning(ctx, f.ID, live.TableChanged(f.Table, now), true); err != nil {
			return err
		}
	}
	for _, p := range on.parked {
		if p.Structure == structure || !s.HeldBy(p.ID, p) {
			continue
		}
		if err := s.creator.Stop(ctx, p, live.TableChanged(p.Table, now), true); err != nil {
			return err
		}
	}
	return nil
}

// usedTables are the oids of the tables of all shapes that have not ended. Inner shapes are among them.
func (s *session) usedTables(ctx context.Context) (map[uint32]bool, error) {
	used := map[uint32]bool{}
	err := s.OnMain(ctx, func(context.Context) error {
		for table := range s.ShapesOn {
			used[table] = true
		}
		return nil
	})
	return used, err
}

// endOnTable ends all shapes of a table.
func (s *session) endOnTable(ctx context.Context, oid uint32, reason string) error {
	return s.OnMain(ctx, func(ctx context.Context) error {
		on := s.byTable(0)[oid]
		if on == nil {
			return nil
		}
		for _, f := range on.begun {
			if s.Live[f.ID] == f || s.inGroup(f) {
				if err := s.EndRunning(ctx, f.ID, reason, true); err != nil {
					return err
				}
			}
		}
		for _, k := range on.parked {
			if s.HeldBy(k.ID, k) {
				if err := s.creator.Stop(ctx, k, reason, true); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// inGroup reports whether a shape is in a group. Runs on the main loop.
func (s *session) inGroup(f *follow.Follower) bool {
	o := s.OwnerOf(f.ID)
	if _, parked := o.(*create.Parked); o == nil || parked {
		return false
	}
	return o.Handle(f.ID) == f.Handle
}
