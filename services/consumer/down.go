package consumer

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/services/consumer/live"
)

// Down is a partition that cannot be written at present.
type Down struct {
	Partition int
	Since     time.Time
	Reason    string
}

// downs are the partitions that are down, for those who ask. Safe for concurrent use.
type downs struct {
	mu    sync.Mutex
	list  []Down
	tells sync.Mutex // held while the list is stored
}

func (d *downs) get() []Down {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Down(nil), d.list...)
}

// has reports whether a partition is down.
func (d *downs) has(partition int) bool {
	return slices.ContainsFunc(d.get(), func(o Down) bool { return o.Partition == partition })
}

// tellDown stores which partitions are down, for this process' figures and, by
// way of the registry, for whoever answers requests. Runs on the main loop.
func (s *session) tellDown(ctx context.Context) {
	var list []Down
	for _, p := range s.Parts {
		if p.Phase != live.Up && p.Why != nil {
			list = append(list, Down{p.N, p.Since, p.Why.Error()})
		}
	}
	d := &s.c.down
	d.mu.Lock()
	d.list = list
	d.mu.Unlock()
	s.Tasks.Go(func() error {
		d.tells.Lock()
		defer d.tells.Unlock()
		var troubles []registry.Trouble
		for _, t := range d.get() {
			troubles = append(troubles, registry.Trouble(t))
		}
		if err := registry.PutTroubles(ctx, s.JS, s.c.cfg.Source, troubles); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "which partitions are down is not stored; shapebus status may not show it", slog.Any("error", err))
		}
		return nil
	})
}
