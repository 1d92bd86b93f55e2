package tables

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
	"github.com/shapebus/shapebus/internal/pg/prepare"
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

// Harm is the harm that could not be ended, for status. Safe for concurrent use.
type Harm struct {
	mu  sync.Mutex
	all []string
}

func (h *Harm) set(all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = all
}

// Get returns what each harm is.
func (h *Harm) Get() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// WatchHarm looks for harm until ctx ends, now and then and whenever a table is said to have changed.
func (k *Keeper) WatchHarm(ctx context.Context) error {
	defer k.cfg.Harm.set(nil) // the next holder of the lease looks
	pause := min(harmEvery, k.cfg.LookEvery)
	said := map[uint32]string{} // what is logged of tables whose harm goes on
	failing := false
	for {
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-k.suspect:
			t.Stop()
		}
		took, err := k.lookForHarm(ctx, said)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			k.cfg.Log.WarnContext(ctx, "cannot look whether the application's writes of shapes' tables fail", slog.Any("error", err))
		}
		failing = err != nil
		pause = max(min(harmEvery, k.cfg.LookEvery), harmFactor*took)
	}
}

// Suspect has WatchHarm look now.
func (k *Keeper) Suspect() {
	select {
	case k.suspect <- struct{}{}:
	default:
	}
}

func (k *Keeper) lookForHarm(ctx context.Context, said map[uint32]string) (took time.Duration, err error) {
	used, err := k.used(ctx)
	if err != nil {
		return 0, err
	}
	prepared := k.all()
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
		k.cfg.Harm.set(nil)
		return 0, nil
	}
	conn, err := k.cfg.Pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	found, err := prepare.Harms(ctx, conn.Conn(), oids, k.cfg.Publication)
	took = time.Since(began)
	conn.Release()
	if err != nil {
		return took, err
	}
	byTable := map[uint32][]prepare.Harm{}
	for _, h := range found {
		byTable[h.Table] = append(byTable[h.Table], h)
	}
	var left []string
	for oid, harms := range byTable {
		err := k.endHarm(ctx, oid, prepared[oid], harms)
		if err == nil || errors.Is(err, registry.ErrConflict) || ctx.Err() != nil { // who changed the record meanwhile is at it, too
			delete(said, oid)
			continue
		}
		text := fmt.Sprintf("UPDATE and DELETE fail: %s; it cannot be ended: %v", harms[0], err)
		left = append(left, text)
		if said[oid] != text {
			k.cfg.Log.ErrorContext(ctx, "the application's writes fail, and a person has to end that", slog.String("harm", harms[0].String()), slog.String("to_end_it", harms[0].Fix()), slog.Any("error", err))
			said[oid] = text
		}
	}
	for oid := range said {
		if byTable[oid] == nil {
			delete(said, oid)
		}
	}
	slices.Sort(left)
	k.cfg.Harm.set(left)
	return took, nil
}

// errNotOurs is harm that giving the table back would not end.
var errNotOurs = errors.New("what does the harm was there before any shape, or nobody knows what was")

// endHarm ends the harm to a table, or says why it cannot. p is nil if nothing is known of the table.
func (k *Keeper) endHarm(ctx context.Context, oid uint32, p *registry.Prepared, harms []prepare.Harm) error {
	if onlyNewLeaves(p, oid, harms) {
		return k.prepareLeaves(ctx, oid, harms)
	}
	if !ours(p, harms, k.cfg.Publication) {
		return errNotOurs
	}
	reason := harms[0].String()
	k.cfg.Log.ErrorContext(ctx, "the application's writes of a table fail; it is put back as it was, and its shapes end",
		slog.String("table", p.String()), slog.String("harm", reason))
	if err := k.giveBack(ctx, p, k.cfg.LockTimeout, reason); err != nil {
		return err
	}
	return k.end(ctx, oid, reason)
}

// ours reports whether giving a table back ends some of the harm: because the identity is one that
// was changed, or because the table leaves the publication. p is nil if nothing is known of the table.
func ours(p *registry.Prepared, harms []prepare.Harm, publication string) bool {
	return p != nil && slices.ContainsFunc(harms, func(h prepare.Harm) bool {
		return h.Kind != prepare.HarmNoIdentity && p.Knows(h.Leaf) || h.Publication == publication && p.Added
	})
}

// onlyNewLeaves reports whether all of the harm is to partitions that came after the table was
// prepared. An identity that a person took away from any other relation is not given again.
func onlyNewLeaves(p *registry.Prepared, oid uint32, harms []prepare.Harm) bool {
	for _, h := range harms {
		if h.Kind != prepare.HarmNoIdentity || h.Leaf == oid || p != nil && p.Knows(h.Leaf) {
			return false
		}
	}
	return true
}

// prepareLeaves gives new partitions their identity.
func (k *Keeper) prepareLeaves(ctx context.Context, oid uint32, harms []prepare.Harm) error {
	conn, err := k.cfg.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	tables, err := pg.LookupTables(ctx, conn.Conn(), []uint32{oid}, k.cfg.Publication)
	if err != nil || tables[oid] == nil {
		return err
	}
	if _, err := k.Prepare(ctx, conn.Conn(), tables[oid]); err != nil {
		return err
	}
	names := make([]string, 0, len(harms))
	for _, h := range harms {
		names = append(names, h.Relation)
	}
	k.cfg.Log.WarnContext(ctx, "new partitions without a replica identity have got one; until then UPDATE and DELETE of them failed",
		slog.String("table", tables[oid].String()), slog.String("partitions", strings.Join(names, ", ")))
	return nil
}
