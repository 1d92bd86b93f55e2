package ingest

import (
	"context"
	"fmt"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/slots"
)

// Health is what ingest knows of its own work now. It is cheap and may be called at any time. One that stands by is well: it
// is all that a second ingest is for, and one that waits for the first to go must not keep an orchestrator from ending that.
func (g *Ingest) Health() health.Facts {
	s := g.Status()
	f := health.Facts{Turned: g.counters.loops.Turned(), Work: s.InFlight > 0, Moved: g.counters.moved.Last()}
	switch s.State {
	case StateStreaming:
		if s.Waiting != "" {
			f.Waiting = "no changes come from Postgres: " + s.Waiting
		}
	case StateStandby:
		f.Work = false // what was in flight was another session's
	case StateBackOff:
		f.Failed, f.Work = s.LastError, false
	case StateStarting, StateStopped:
		f.Starting = fmt.Sprintf("not streaming yet (%s)", s.State)
	}
	if w := g.watch.Load(); w != nil {
		w.Into(&f)
	}
	return f
}

// lookAtSlot asks Postgres how the slot is, over a connection of its own: one that is kept would not tell of a password that
// has changed.
func (g *Ingest) lookAtSlot(ctx context.Context) error {
	cfg, err := pg.ParseConfig(g.cfg.DatabaseURL, "ingest")
	if err != nil {
		return err
	}
	conn, err := pg.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	slot, err := slots.Lookup(ctx, conn, g.cfg.Slot)
	if err == nil {
		g.slot.Store(&slot)
	}
	return err
}
