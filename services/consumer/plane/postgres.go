package plane

import (
	"context"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
)

// saysEvery is how old what Postgres says may be in a status.
const saysEvery = time.Second

// says is what Postgres says of the slot and of the tables.
type says struct {
	at        time.Time
	active    bool
	confirmed change.LSN
	lagBytes  int64
	slotError string
	walStatus string
	safeBytes int64
	lost      string
	problems  []string
}

func (s *says) into(out *control.Status) {
	out.SlotActive, out.SlotConfirmed, out.SlotLagBytes, out.SlotError, out.Problems = s.active, s.confirmed, s.lagBytes, s.slotError, s.problems
	out.SlotWALStatus, out.SlotSafeBytes, out.SlotLost = s.walStatus, s.safeBytes, s.lost
}

// saysPostgres asks Postgres, but not more than once in saysEvery. It belongs to tellStatus.
func (p *server) saysPostgres(ctx context.Context, consumers int) *says {
	if p.said == nil || time.Since(p.said.at) >= saysEvery {
		p.said = p.askPostgres(ctx, consumers)
	}
	return p.said
}

// askPostgres also finds out whether there is room for the connections of as many consumers.
func (p *server) askPostgres(ctx context.Context, consumers int) *says {
	out := &says{at: time.Now()}
	conn, err := p.cfg.Pool.Acquire(ctx)
	if err != nil {
		out.slotError = err.Error()
		return out
	}
	defer conn.Release()
	slot, err := slots.Lookup(ctx, conn.Conn(), p.cfg.Slot)
	switch {
	case err != nil:
		out.slotError = err.Error()
	case !slot.Exists:
		out.slotError = fmt.Sprintf("there is no replication slot %s; it comes with the first start of ingest", p.cfg.Slot)
	default:
		out.active, out.confirmed, out.lagBytes = slot.Active, slot.ConfirmedFlush, slot.RetainedBytes
		out.walStatus, out.safeBytes, out.lost = slot.WALStatus, slot.SafeBytes, slot.LostReason()
	}
	problems, err := preflight.Problems(ctx, conn.Conn(), p.cfg.Publication, slot)
	if err != nil {
		problems = append(problems, err.Error())
	}
	var room int
	switch err := conn.QueryRow(ctx, "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int").Scan(&room); {
	case err != nil:
		problems = append(problems, err.Error())
	case room < consumers*p.cfg.Connections:
		problems = append(problems, fmt.Sprintf("%d consumers may open %d connections to Postgres, which has room for %d of anybody's: run fewer, or raise max_connections", consumers, consumers*p.cfg.Connections, room))
	}
	out.problems = problems
	return out
}
