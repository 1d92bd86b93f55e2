package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/pkg/pg"
)

// watchCatalog looks at the tables of all live shapes now and then. The stream
// tells of a changed table only with the table's next change, and never of a
// dropped one, of an attached partition, or of one that left the publication.
func (s *session) watchCatalog(ctx context.Context) error {
	t := time.NewTicker(s.c.cfg.CatalogInterval)
	defer t.Stop()
	baseline := map[string]*pg.TableInfo{} // by structure, to say what changed
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		err := s.checkTables(ctx, baseline)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			s.log.WarnContext(ctx, "cannot look at the tables of shapes; changes of theirs show late", slog.Any("error", err))
		}
		failing = err != nil
	}
}

func (s *session) checkTables(ctx context.Context, baseline map[string]*pg.TableInfo) error {
	var oids []uint32
	err := s.onMain(ctx, func(context.Context) error {
		for oid := range s.router.tables {
			oids = append(oids, oid)
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
		baseline[now[oid]] = t
	}
	return s.onMain(ctx, func(ctx context.Context) error {
		for _, oid := range oids {
			t := s.router.tables[oid]
			if t == nil {
				continue
			}
			for _, f := range append([]*follower(nil), t.shapes...) {
				if f.structure == now[oid] {
					continue
				}
				reason := fmt.Sprintf("table %s.%s was dropped", f.relation.Schema, f.relation.Name)
				if tables[oid] != nil {
					reason = tableChanged(baseline[f.structure], tables[oid])
				}
				if err := s.endLive(ctx, f, reason); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// tableChanged says what changed. was may be nil when it is not known.
func tableChanged(was, now *pg.TableInfo) string {
	if was != nil {
		if d := was.Diff(now); d != "" {
			return d
		}
	}
	return fmt.Sprintf("table %s.%s changed", now.Relation.Schema, now.Relation.Name)
}
