package plane

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/internal/pg/preflight"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
)

func (p *server) status(ctx context.Context, _ struct{}) (any, error) {
	cfg := &p.cfg
	out := control.Status{
		Source: string(cfg.Source), Version: cfg.Version, Partitions: cfg.Partitions,
		Publication: cfg.Publication, Slot: cfg.Slot, Shapes: map[control.State]int{},
	}
	ids, err := p.cfg.Shapes.IDs(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		rec, err := p.cfg.Shapes.Get(ctx, id)
		if errors.Is(err, registry.ErrNotFound) {
			continue
		}
		if errors.Is(err, registry.ErrUnreadable) {
			out.Unreadable++
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Shapes[rec.State]++
	}
	head, err := changelog.Head(ctx, p.cfg.JS, p.cfg.Source)
	if err != nil {
		return nil, err
	}
	if st, err := p.cfg.JS.Stream(ctx, cfg.Source.ChangeStream()); err == nil {
		state := st.CachedInfo().State
		out.ChangeMessages, out.ChangeBytes = state.Msgs, state.Bytes
	}
	out.ChangeLSN = head.LSN
	if out.Down, err = p.down(ctx); err != nil {
		return nil, err
	}
	var applied *changelog.Place // of the partition that is furthest behind, of those that are not down
	writers, keepers, err := p.owners(ctx)
	if err != nil {
		return nil, err
	}
	for n := range cfg.Partitions {
		owner := control.PartitionOwner{Partition: n, Consumer: writers[n].Name, Materializer: keepers[n].Name}
		out.Owners = append(out.Owners, owner)
		if slices.ContainsFunc(out.Down, func(d control.PartitionDown) bool { return d.Partition == n }) {
			continue
		}
		cp, _, err := registry.ReadCheckpoint(ctx, p.cfg.JS, cfg.Source, n)
		if err != nil {
			return nil, err
		}
		own := &out.Owners[n]
		if own.AppliedLSN = change.LSN(cp.LSN); head.LSN > own.AppliedLSN && cp.LSN > 0 {
			own.LagBytes = int64(head.LSN - own.AppliedLSN)
		}
		if applied == nil || change.LSN(cp.LSN) < applied.LSN {
			applied = &changelog.Place{LSN: change.LSN(cp.LSN), Seq: cp.Seq}
		}
	}
	if applied == nil {
		applied = &changelog.Place{}
	}
	out.AppliedLSN = applied.LSN
	if head.Seq > applied.Seq {
		out.Unread = head.Seq - applied.Seq
	}
	p.postgres(ctx, &out, processes(writers))
	return out, nil
}

// owners are who holds the partitions, of both roles.
func (p *server) owners(ctx context.Context) (writers, keepers map[int]registry.Member, err error) {
	for role, of := range map[string]*map[int]registry.Member{topology.RoleConsumer: &writers, topology.RoleMaterializer: &keepers} {
		h, err := registry.OpenHoldings(ctx, p.cfg.JS, p.cfg.Source, role)
		if err == nil {
			*of, err = h.List(ctx)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return writers, keepers, nil
}

// processes counts those that hold partitions.
func processes(holders map[int]registry.Member) int {
	names := map[string]bool{}
	for _, m := range holders {
		names[m.Name] = true
	}
	return len(names)
}

// down returns the partitions that their holders cannot write.
func (p *server) down(ctx context.Context) ([]control.PartitionDown, error) {
	troubles, err := registry.Troubles(ctx, p.cfg.JS, p.cfg.Source, p.cfg.Partitions)
	if err != nil {
		return nil, err
	}
	var out []control.PartitionDown
	for _, t := range troubles {
		out = append(out, control.PartitionDown{Partition: t.Partition, Since: t.Since.UTC(), Reason: t.Reason})
	}
	return out, nil
}

// isDown reports whether a partition is known to be down.
func (p *server) isDown(ctx context.Context, partition int) bool {
	down, err := p.down(ctx)
	return err == nil && slices.ContainsFunc(down, func(d control.PartitionDown) bool { return d.Partition == partition })
}

// postgres adds what Postgres says of the slot and of the tables, and whether it has room for the connections of as many consumers.
func (p *server) postgres(ctx context.Context, out *control.Status, consumers int) {
	conn, err := p.cfg.Pool.Acquire(ctx)
	if err != nil {
		out.SlotError = err.Error()
		return
	}
	defer conn.Release()
	slot, err := slots.Lookup(ctx, conn.Conn(), p.cfg.Slot)
	switch {
	case err != nil:
		out.SlotError = err.Error()
	case !slot.Exists:
		out.SlotError = fmt.Sprintf("there is no replication slot %s; it comes with the first start of ingest", p.cfg.Slot)
	default:
		out.SlotActive, out.SlotConfirmed, out.SlotLagBytes = slot.Active, slot.ConfirmedFlush, slot.RetainedBytes
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
	out.Problems = problems
}
