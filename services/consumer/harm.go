package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
)

// A prepared table can begin to make the application's writes fail: somebody gives another
// publication a column list on it, a generated column comes that a publication cannot carry, a new
// partition has no identity. Postgres tells nobody but the application. So the catalog is looked at
// often, and when harm is found it is ended at once, if need be with the table's shapes.

// harmEvery is the time between looks; longer where a look takes long.
const (
	harmEvery  = time.Second
	harmFactor = 50 // of the time that a look takes
)

// harmNow is the harm that could not be ended, for status. Safe for concurrent use.
type harmNow struct {
	mu  sync.Mutex
	all []string
}

func (h *harmNow) set(all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = all
}

func (h *harmNow) get() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// watchHarm looks for harm until ctx ends, now and then and whenever a table is said to have changed.
func (s *session) watchHarm(ctx context.Context) error {
	defer s.c.stats.Harm.set(nil) // the next holder of the lease looks
	pause := min(harmEvery, s.c.cfg.CatalogInterval)
	said := map[uint32]string{} // what is logged of tables whose harm goes on
	failing := false
	for {
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-s.suspect:
			t.Stop()
		}
		took, err := s.lookForHarm(ctx, said)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			s.log.WarnContext(ctx, "cannot look whether the application's writes of shapes' tables fail", slog.Any("error", err))
		}
		failing = err != nil
		pause = max(min(harmEvery, s.c.cfg.CatalogInterval), harmFactor*took)
	}
}

// suspectHarm has watchHarm look now.
func (s *session) suspectHarm() {
	select {
	case s.suspect <- struct{}{}:
	default:
	}
}

func (s *session) lookForHarm(ctx context.Context, said map[uint32]string) (took time.Duration, err error) {
	used, err := s.usedTables(ctx)
	if err != nil {
		return 0, err
	}
	prepared := s.prepared.all()
	var oids []uint32
	for oid := range used {
		oids = append(oids, oid)
	}
	for oid := range prepared {
		if !used[oid] {
			oids = append(oids, oid)
		}
	}
	if len(oids) == 0 {
		s.c.stats.Harm.set(nil)
		return 0, nil
	}
	conn, err := s.c.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	found, err := pg.Harms(ctx, conn.Conn(), oids, s.c.cfg.Publication)
	took = time.Since(began)
	conn.Release()
	if err != nil {
		return took, err
	}
	byTable := map[uint32][]pg.Harm{}
	for _, h := range found {
		byTable[h.Table] = append(byTable[h.Table], h)
	}
	var left []string
	for oid, harms := range byTable {
		err := s.endHarm(ctx, oid, prepared[oid], harms)
		if err == nil || errors.Is(err, registry.ErrConflict) || ctx.Err() != nil { // who changed the record meanwhile is at it, too
			delete(said, oid)
			continue
		}
		text := fmt.Sprintf("UPDATE and DELETE fail: %s; it cannot be ended: %v", harms[0], err)
		left = append(left, text)
		if said[oid] != text {
			s.log.ErrorContext(ctx, "the application's writes fail, and a person has to end that", slog.String("harm", harms[0].String()), slog.String("to_end_it", harms[0].Fix()), slog.Any("error", err))
			said[oid] = text
		}
	}
	for oid := range said {
		if byTable[oid] == nil {
			delete(said, oid)
		}
	}
	slices.Sort(left)
	s.c.stats.Harm.set(left)
	return took, nil
}

// errNotOurs is harm that giving the table back would not end.
var errNotOurs = errors.New("what does the harm was there before any shape, or nobody knows what was")

// endHarm ends the harm to a table, or says why it cannot. p is nil if nothing is known of the table.
func (s *session) endHarm(ctx context.Context, oid uint32, p *registry.Prepared, harms []pg.Harm) error {
	if onlyNewLeaves(p, oid, harms) {
		return s.prepareLeaves(ctx, oid, harms)
	}
	if !ours(p, harms, s.c.cfg.Publication) {
		return errNotOurs
	}
	reason := harms[0].String()
	s.log.ErrorContext(ctx, "the application's writes of a table fail; it is put back as it was, and its shapes end",
		slog.String("table", p.String()), slog.String("harm", reason))
	if err := s.giveBack(ctx, p, s.c.cfg.LockTimeout, reason); err != nil {
		return err
	}
	return s.onMain(ctx, func(ctx context.Context) error {
		on := s.byTable(0)[oid]
		if on == nil {
			return nil
		}
		for _, f := range on.begun {
			if s.live[f.id] == f || s.hasGrouped(f) {
				if err := s.endRunning(ctx, f.id, reason, true); err != nil {
					return err
				}
			}
		}
		for _, k := range on.parked {
			if s.parked[k.id] == k {
				if err := s.stop(ctx, k, reason, true); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// ours reports whether giving a table back ends some of the harm: because the identity is one that
// was changed, or because the table leaves the publication. p is nil if nothing is known of the table.
func ours(p *registry.Prepared, harms []pg.Harm, publication string) bool {
	return p != nil && slices.ContainsFunc(harms, func(h pg.Harm) bool {
		return h.Kind != pg.HarmNoIdentity && p.Knows(h.Leaf) || h.Publication == publication && p.Added
	})
}

// onlyNewLeaves reports whether all of the harm is to partitions that came after the table was
// prepared. An identity that a person took away from any other relation is not given again.
func onlyNewLeaves(p *registry.Prepared, oid uint32, harms []pg.Harm) bool {
	for _, h := range harms {
		if h.Kind != pg.HarmNoIdentity || h.Leaf == oid || p != nil && p.Knows(h.Leaf) {
			return false
		}
	}
	return true
}

// prepareLeaves gives new partitions their identity.
func (s *session) prepareLeaves(ctx context.Context, oid uint32, harms []pg.Harm) error {
	conn, err := s.c.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tables, err := pg.LookupTables(ctx, conn.Conn(), []uint32{oid}, s.c.cfg.Publication)
	if err != nil || tables[oid] == nil {
		return err
	}
	if _, err := s.c.prepareTable(ctx, conn.Conn(), tables[oid]); err != nil {
		return err
	}
	names := make([]string, 0, len(harms))
	for _, h := range harms {
		names = append(names, h.Relation)
	}
	s.log.WarnContext(ctx, "new partitions without a replica identity have got one; until then UPDATE and DELETE of them failed",
		slog.String("table", tables[oid].String()), slog.String("partitions", strings.Join(names, ", ")))
	return nil
}
