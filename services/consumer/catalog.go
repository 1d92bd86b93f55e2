package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/shapebus/shapebus/pkg/pg"
)

// watchCatalog looks at the tables of all live shapes now and then. The stream
// tells of a changed table only with the table's next change, and never of a
// dropped one, of an attached partition, or of one that left the publication.
func (s *session) watchCatalog(ctx context.Context) error {
	t := time.NewTicker(s.c.cfg.CatalogInterval)
	defer t.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		err := s.checkTables(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			s.log.WarnContext(ctx, "cannot look at the tables of shapes; changes of theirs show late", slog.Any("error", err))
		}
		failing = err != nil
	}
}

func (s *session) checkTables(ctx context.Context) error {
	var oids []uint32
	asked := map[uint32][]*follower{} // shapes that come meanwhile may know more than the answer
	err := s.onMain(ctx, func(context.Context) error {
		for oid, t := range s.router.tables {
			oids = append(oids, oid)
			asked[oid] = slices.Clone(t.shapes.items)
		}
		return nil
	})
	if err != nil || len(oids) == 0 {
		return err
	}
	conn, err := s.c.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	tables, err := pg.LookupTables(ctx, conn.Conn(), oids, s.c.cfg.Publication)
	conn.Release()
	if err != nil {
		return err
	}
	now := make(map[uint32]string, len(tables))
	for oid, t := range tables {
		now[oid] = t.Structure()
	}
	return s.onMain(ctx, func(ctx context.Context) error {
		for _, oid := range oids {
			for _, f := range asked[oid] {
				if f.structure == now[oid] {
					continue
				}
				if err := s.endLive(ctx, f, tableChanged(f.table, tables[oid])); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// tableChanged says what changed. now is nil when the table is gone.
func tableChanged(was, now *pg.TableInfo) string {
	if d := was.Diff(now); d != "" {
		return d
	}
	return fmt.Sprintf("table %s changed", was)
}
