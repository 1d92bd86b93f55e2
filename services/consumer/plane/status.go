package plane

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/plane/intake"
)

// tellStatus answers the requests for the status, until ctx ends: all that wait with one answer, which is
// no older than they are.
func (p *server) tellStatus(ctx context.Context, l *intake.Lane) {
	for {
		r := l.Next(ctx)
		if r == nil {
			return
		}
		asking, cancel := context.WithTimeout(ctx, intake.Timeout)
		all := append([]*intake.Request{r}, l.Rest()...)
		out, err := p.status(asking)
		cancel()
		for _, r := range all {
			if _, wrong := r.To.Handle(ctx, r.Msg.Data); wrong != nil {
				p.respond(ctx, r, nil, wrong)
			} else {
				p.respond(ctx, r, out, err)
			}
		}
	}
}

func (p *server) status(ctx context.Context) (any, error) {
	cfg := &p.cfg
	partitions := cfg.Partitions.Count()
	out := control.Status{
		Source: string(cfg.Source), Version: cfg.Version, Partitions: partitions,
		Publication: cfg.Publication, Slot: cfg.Slot,
	}
	feeds, err := registry.Feeder(ctx, p.cfg.JS, cfg.Source)
	if err != nil {
		return nil, err
	}
	out.SystemID, out.Database = feeds.SystemID, feeds.Name
	head, history, err := changelog.Head(ctx, p.cfg.JS, p.cfg.Source)
	if err != nil {
		return nil, err
	}
	if st, err := p.cfg.JS.Stream(ctx, cfg.Source.ChangeStream()); err == nil {
		state := st.CachedInfo().State
		out.ChangeMessages, out.ChangeBytes, out.ChangeSeq = state.Msgs, state.Bytes, state.LastSeq
		if state.Msgs > 0 {
			out.ChangeAt = state.LastTime.UTC()
		}
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
	for n := range partitions {
		owner := control.PartitionOwner{Partition: n, Consumer: writers[n].Name, Materializer: keepers[n].Name}
		out.Owners = append(out.Owners, owner)
		if slices.ContainsFunc(out.Down, func(d control.PartitionDown) bool { return d.Partition == n }) {
			continue
		}
		cp, _, err := registry.ReadCheckpoint(ctx, p.cfg.JS, cfg.Source, n, history)
		if bad, unreadable := errors.AsType[*registry.UnreadableCheckpointError](err); unreadable { // its holder has yet to see it
			out.Down = append(out.Down, control.PartitionDown{Partition: n, Since: bad.Since.UTC(), Reason: bad.Error()})
			continue
		}
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
	if applied.LSN > 0 && head.LSN > applied.LSN {
		out.LagBytes = int64(head.LSN - applied.LSN)
	}
	if head.Seq > applied.Seq {
		out.Unread = head.Seq - applied.Seq
		out.LagSeconds = p.waits(ctx, applied.Seq+1)
	}
	p.saysPostgres(ctx, processes(writers)).into(&out)
	if err := p.census.await(ctx); err != nil {
		return nil, err
	}
	out.Shapes, out.Unreadable = p.census.states()
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
	troubles, err := registry.Troubles(ctx, p.cfg.JS, p.cfg.Source, p.cfg.Partitions.Count())
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

// waits is for how many seconds the first message of the change log has been there that nobody has applied; 0 if it is gone,
// or cannot be read.
func (p *server) waits(ctx context.Context, seq uint64) float64 {
	st, err := p.cfg.JS.Stream(ctx, p.cfg.Source.ChangeStream())
	if err != nil {
		return 0
	}
	m, err := st.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">"))
	if err != nil {
		return 0
	}
	return max(time.Since(m.Time).Seconds(), 0)
}
