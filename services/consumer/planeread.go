package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

const listPage = 500

func (p *plane) get(ctx context.Context, req control.ShapeRequest) (any, error) {
	rec, err := p.c.shapes.Get(ctx, idOf(req.Shape))
	if err != nil {
		return nil, err
	}
	if !names(req.Shape, rec) {
		return nil, &requestError{control.CodeNotFound, fmt.Sprintf("shape %s: it has ended; its successor is %s", req.Shape, rec.Handle)}
	}
	return p.describe(ctx, rec)
}

func (p *plane) list(ctx context.Context, req control.ListRequest) (any, error) {
	if req.Limit <= 0 || req.Limit > listPage {
		req.Limit = listPage
	}
	ids, err := p.c.shapes.IDs(ctx)
	if err != nil {
		return nil, err
	}
	from, found := slices.BinarySearch(ids, req.After)
	if found {
		from++
	}
	ids = ids[from:]
	out := control.ListResponse{More: len(ids) > req.Limit, Shapes: []control.Shape{}}
	// Those left out were removed meanwhile, or they end, and the log says so.
	records, err := p.c.shapes.GetAll(ctx, ids[:min(len(ids), req.Limit)])
	if err != nil {
		return nil, err
	}
	shapes, err := p.describeAll(ctx, records)
	if err != nil {
		return nil, err
	}
	out.Shapes = append(out.Shapes, shapes...)
	return out, nil
}

func (p *plane) describe(ctx context.Context, rec *registry.Shape) (*control.Shape, error) {
	shapes, err := p.describeAll(ctx, []*registry.Shape{rec})
	if err != nil {
		return nil, err
	}
	return &shapes[0], nil
}

// describeAll adds to records what their logs, the checkpoints and the change log say.
func (p *plane) describeAll(ctx context.Context, records []*registry.Shape) ([]control.Shape, error) {
	tails := newTails()
	for n := range p.c.cfg.Partitions {
		of := slices.DeleteFunc(slices.Clone(records), func(rec *registry.Shape) bool { return rec.Partition != n })
		// Of a partition that is down nothing may be known, which is no reason to say nothing of the others.
		if err := readTails(ctx, p.js, p.c.cfg.Source, of, &tails); err != nil && !p.isDown(ctx, n) {
			return nil, err
		}
	}
	head, err := p.head(ctx)
	if err != nil {
		return nil, err
	}
	type checkpoint struct {
		at     change.LSN
		parked parkedPlaces
	}
	checkpoints := map[int]checkpoint{}
	out := make([]control.Shape, 0, len(records))
	for _, rec := range records {
		if e := within(registry.Event{ID: rec.ID, Shape: rec}, p.c.cfg.Partitions); e.Err != nil {
			out = append(out, control.Shape{ID: rec.ID, Handle: rec.Handle, Partition: rec.Partition, State: control.StateEnded, Reason: e.Err.Error()})
			continue
		}
		cp, ok := checkpoints[rec.Partition]
		if !ok {
			c, _, err := registry.ReadCheckpoint(ctx, p.js, p.c.cfg.Source, rec.Partition)
			if err != nil && !p.isDown(ctx, rec.Partition) {
				return nil, err
			}
			cp = checkpoint{change.LSN(c.LSN), placesIn(&c)}
			checkpoints[rec.Partition] = cp
		}
		s := summary(rec, tails.of[rec.Handle])
		if rec.State == control.StateLive {
			applied, _, _ := placeOf(rec, true, tails.of[rec.Handle], cp.at, cp.parked)
			if s.Applied = applied; head.lsn > applied {
				s.LagBytes = int64(head.lsn - applied)
			}
		}
		if tails.of[rec.Handle].Ended && s.State != control.StateEnded && s.State != control.StateDeleting {
			s.State = control.StateEnded // the record follows in a moment
			if s.Reason, err = lastWord(ctx, p.js, p.c.cfg.Source, rec); err != nil {
				return nil, err
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// summary is what a shape's record and log say of it.
func summary(rec *registry.Shape, tail wire.Tail) control.Shape {
	d := rec.Definition
	s := control.Shape{
		ID: rec.ID, Handle: rec.Handle, Partition: rec.Partition, State: rec.State, Reason: rec.Reason,
		Schema: d.Schema, Table: d.Table, Where: d.Where, Params: d.Params,
		HasKey: len(rec.Table.PrimaryKey) > 0, WriteUnit: control.WriteUnit, Created: rec.Created,
		Inner: rec.Unasked, Offset: tail.Committed, Rows: tail.CommittedRows, LogBytes: tail.Bytes, SnapshotRows: rec.SnapshotRows,
	}
	for _, q := range rec.Subqueries {
		s.Subqueries = append(s.Subqueries, q.Handle)
	}
	for _, c := range rec.Table.Columns {
		if slices.Contains(d.Columns, c.Name) {
			s.Columns = append(s.Columns, control.Column{
				Name: c.Name, Type: c.Type, TypeName: c.TypeName, Key: !s.HasKey || slices.Contains(rec.Table.PrimaryKey, c.Name),
			})
		}
	}
	return s
}

// head is the end of the change log, the zero place when it is empty.
func (p *plane) head(ctx context.Context) (place, error) {
	st, err := p.js.Stream(ctx, p.c.cfg.Source.ChangeStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return place{}, nil
	}
	if err != nil {
		return place{}, fmt.Errorf("read the change log's state: %w", err)
	}
	last := st.CachedInfo().State.LastSeq
	m, err := st.GetMsg(ctx, last)
	if errors.Is(err, jetstream.ErrMsgNotFound) || last == 0 {
		return place{seq: last}, nil
	}
	if err != nil {
		return place{}, fmt.Errorf("read the change log's end: %w", err)
	}
	lsn, err := stream.LSN(m.Header)
	if err != nil {
		return place{seq: last}, nil //nolint:nilerr // a message that cannot be read; what follows tells again
	}
	return place{lsn, last}, nil
}

func (p *plane) status(ctx context.Context, _ struct{}) (any, error) {
	cfg := &p.c.cfg
	out := control.Status{
		Source: string(cfg.Source), Version: cfg.Version, Partitions: cfg.Partitions,
		Publication: cfg.Publication, Slot: cfg.Slot, Shapes: map[control.State]int{},
	}
	ids, err := p.c.shapes.IDs(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		rec, err := p.c.shapes.Get(ctx, id)
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
	head, err := p.head(ctx)
	if err != nil {
		return nil, err
	}
	if st, err := p.js.Stream(ctx, cfg.Source.ChangeStream()); err == nil {
		state := st.CachedInfo().State
		out.ChangeMessages, out.ChangeBytes = state.Msgs, state.Bytes
	}
	out.ChangeLSN = head.lsn
	if out.Down, err = p.down(ctx); err != nil {
		return nil, err
	}
	var applied *place // of the partition that is furthest behind, of those that are not down
	for n := range cfg.Partitions {
		if slices.ContainsFunc(out.Down, func(d control.PartitionDown) bool { return d.Partition == n }) {
			continue
		}
		cp, _, err := registry.ReadCheckpoint(ctx, p.js, cfg.Source, n)
		if err != nil {
			return nil, err
		}
		if applied == nil || change.LSN(cp.LSN) < applied.lsn {
			applied = &place{change.LSN(cp.LSN), cp.Seq}
		}
	}
	if applied == nil {
		applied = &place{}
	}
	out.AppliedLSN = applied.lsn
	if head.seq > applied.seq {
		out.Unread = head.seq - applied.seq
	}
	p.postgres(ctx, &out)
	return out, nil
}

// down returns the partitions that the holder of the lease cannot write.
func (p *plane) down(ctx context.Context) ([]control.PartitionDown, error) {
	troubles, err := registry.Troubles(ctx, p.js, p.c.cfg.Source)
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
func (p *plane) isDown(ctx context.Context, partition int) bool {
	down, err := p.down(ctx)
	return err == nil && slices.ContainsFunc(down, func(d control.PartitionDown) bool { return d.Partition == partition })
}

// postgres adds what Postgres says of the slot and of the tables.
func (p *plane) postgres(ctx context.Context, out *control.Status) {
	conn, err := p.c.pool.Acquire(ctx)
	if err != nil {
		out.SlotError = err.Error()
		return
	}
	defer conn.Release()
	slot, err := pg.LookupSlot(ctx, conn.Conn(), p.c.cfg.Slot)
	switch {
	case err != nil:
		out.SlotError = err.Error()
	case !slot.Exists:
		out.SlotError = fmt.Sprintf("there is no replication slot %s; it comes with the first start of ingest", p.c.cfg.Slot)
	default:
		out.SlotActive, out.SlotConfirmed, out.SlotLagBytes = slot.Active, slot.ConfirmedFlush, slot.RetainedBytes
	}
	problems, err := pg.Problems(ctx, conn.Conn(), p.c.cfg.Publication, slot)
	if err != nil {
		problems = append(problems, err.Error())
	}
	out.Problems = problems
}
