package tables

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/service"
)

// Keeper looks after the prepared tables on behalf of the process that fills shape logs, for as
// long as it does. Safe for concurrent use.
type Keeper struct {
	*Preparer

	used    func(context.Context) (map[uint32]bool, error)
	end     func(ctx context.Context, oid uint32, reason string) error
	suspect chan struct{} // one signal: some table may do harm

	mu    sync.Mutex
	byKey map[string]*registry.Prepared
	trial map[uint32]*trial
}

// NewKeeper makes a keeper. used tells the oids of the tables of all shapes that have not ended;
// inner shapes are among them. end ends the shapes of a table.
func (p *Preparer) NewKeeper(used func(context.Context) (map[uint32]bool, error), end func(ctx context.Context, oid uint32, reason string) error) *Keeper {
	return &Keeper{
		Preparer: p, used: used, end: end, suspect: make(chan struct{}, 1),
		byKey: map[string]*registry.Prepared{}, trial: map[uint32]*trial{},
	}
}

// trial is a table that could not be given back.
type trial struct {
	next  time.Time
	pause time.Duration
	said  string // what was logged of it last
}

// Watch keeps up with the records until ctx ends.
func (k *Keeper) Watch(ctx context.Context) error {
	err := k.cfg.Records.Watch(ctx, func(key string, p *registry.Prepared, err error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if err != nil {
			k.cfg.Log.ErrorContext(ctx, "nobody can tell what a table was before it was prepared; it stays as it is", slog.String("key", key), slog.Any("error", err))
		}
		if p == nil {
			delete(k.byKey, key)
			return
		}
		k.byKey[key] = p
	})
	return service.IgnoreEnd(ctx, err)
}

// all returns a copy of each record.
func (k *Keeper) all() map[uint32]*registry.Prepared {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make(map[uint32]*registry.Prepared, len(k.byKey))
	for _, p := range k.byKey {
		c := *p
		out[p.OID] = &c
	}
	return out
}
