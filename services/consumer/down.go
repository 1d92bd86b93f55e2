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
	tells sync.Mutex     // held while the list is stored
	told  map[int]string // what was stored last of each partition that is held; owned by who holds tells
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
	held := map[int]*registry.Trouble{}
	for _, p := range s.Parts {
		if !p.Mine() {
			continue
		}
		held[p.N] = nil
		if p.Phase != live.Up && p.Why != nil {
			d := Down{p.N, p.Since, p.Why.Error()}
			list = append(list, d)
			held[p.N] = (*registry.Trouble)(&d)
		}
	}
	d := &s.c.down
	d.mu.Lock()
	d.list = list
	d.mu.Unlock()
	s.Tasks.Go(func() error {
		d.tells.Lock()
		defer d.tells.Unlock()
		for p, t := range held {
			if was, told := d.told[p]; told && was == text(t) {
				continue
			}
			if err := registry.PutTrouble(ctx, s.JS, s.c.cfg.Source, p, t); err != nil && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "that a partition is down, or up again, is not stored; shapebus status may not show it", slog.Int("partition", p), slog.Any("error", err))
				continue
			}
			d.told[p] = text(t)
		}
		for p := range d.told {
			if _, ours := held[p]; !ours { // another process tells of it
				delete(d.told, p)
			}
		}
		return nil
	})
}

// text is a trouble as it is compared.
func text(t *registry.Trouble) string {
	if t == nil {
		return ""
	}
	return t.Since.String() + t.Reason
}
