package plane

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/plane/answer"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

const listPage = 500

// listChunk is how many shapes are read at once for a page: each may take 200 KB.
const listChunk = 100

func (p *server) get(ctx context.Context, req control.ShapeRequest) (any, error) {
	rec, err := p.cfg.Shapes.Get(ctx, shapelog.IDOf(req.Shape))
	if err != nil {
		return nil, err
	}
	if !names(req.Shape, rec) {
		return nil, refuse.With(control.CodeNotFound, "shape %s: it has ended; its successor is %s", req.Shape, rec.Handle)
	}
	return p.describe(ctx, rec)
}

func (p *server) list(ctx context.Context, req control.ListRequest) (any, error) {
	if req.Limit == 0 {
		req.Limit = listPage
	}
	ids, err := p.cfg.Shapes.IDs(ctx)
	if err != nil {
		return nil, err
	}
	from, found := slices.BinarySearch(ids, req.After)
	if found {
		from++
	}
	ids = ids[from:]
	out := answer.NewPage(p.room())
	for len(ids) > 0 && len(out.Shapes) < req.Limit {
		// Those left out were removed meanwhile, or they end, and the log says so.
		n := min(listChunk, len(ids), req.Limit-len(out.Shapes))
		records, err := p.cfg.Shapes.GetAll(ctx, ids[:n])
		if err != nil {
			return nil, err
		}
		shapes, err := p.describeAll(ctx, records)
		if err != nil {
			return nil, err
		}
		for i := range shapes {
			if fits, err := out.Add(&shapes[i]); !fits || err != nil {
				out.More = true
				return out, err
			}
		}
		ids = ids[n:]
	}
	out.More = len(ids) > 0
	return out, nil
}

func (p *server) describe(ctx context.Context, rec *registry.Shape) (*control.Shape, error) {
	shapes, err := p.describeAll(ctx, []*registry.Shape{rec})
	if err != nil {
		return nil, err
	}
	return &shapes[0], nil
}

// describeAll adds to records what their logs, the checkpoints and the change log say.
func (p *server) describeAll(ctx context.Context, records []*registry.Shape) ([]control.Shape, error) {
	byPartition, unreadable := map[int][]*registry.Shape{}, map[string]error{}
	for _, rec := range records {
		if e := p.cfg.Shapes.Within(ctx, registry.Event{ID: rec.ID, Shape: rec}, p.cfg.Partitions); e.Err != nil {
			unreadable[rec.ID] = e.Err
			continue
		}
		byPartition[rec.Partition] = append(byPartition[rec.Partition], rec)
	}
	tails, gens := shapelog.NewTails(), map[string]*shapelog.Beginning{}
	for n, of := range byPartition {
		// Of a partition that is down nothing may be known, which is no reason to say nothing of the others.
		if err := shapelog.GlanceAtTails(ctx, p.cfg.JS, p.cfg.Source, of, &tails); err != nil && !p.isDown(ctx, n) {
			return nil, err
		}
		of = slices.DeleteFunc(of, func(rec *registry.Shape) bool { return !tails.Of[rec.Handle].Began })
		found, err := shapelog.ReadGenerations(ctx, p.cfg.JS, p.cfg.Source, of)
		if err != nil && !p.isDown(ctx, n) {
			return nil, err
		}
		maps.Copy(gens, found)
	}
	head, history, err := changelog.Head(ctx, p.cfg.JS, p.cfg.Source)
	if err != nil {
		return nil, err
	}
	type checkpoint struct {
		at     change.LSN
		parked shapelog.Parked
	}
	checkpoints := map[int]checkpoint{}
	out := make([]control.Shape, 0, len(records))
	for _, rec := range records {
		if err := unreadable[rec.ID]; err != nil {
			out = append(out, control.Shape{ID: rec.ID, Handle: rec.Handle, Partition: rec.Partition, State: control.StateEnded, Reason: err.Error()})
			continue
		}
		cp, ok := checkpoints[rec.Partition]
		if !ok {
			c, _, err := registry.ReadCheckpoint(ctx, p.cfg.JS, p.cfg.Source, rec.Partition, history)
			_, unreadable := errors.AsType[*registry.UnreadableCheckpointError](err) // what the logs say is told all the same
			if err != nil && !unreadable && !p.isDown(ctx, rec.Partition) {
				return nil, err
			}
			cp = checkpoint{change.LSN(c.LSN), shapelog.ParkedIn(&c)}
			checkpoints[rec.Partition] = cp
		}
		s := summary(rec, tails.Of[rec.Handle])
		folds(&s, rec, gens[rec.Handle])
		if rec.State == control.StateLive {
			applied := shapelog.WholeTo(rec, tails.Of[rec.Handle], cp.at, cp.parked)
			if s.Applied = applied; head.LSN > applied {
				s.LagBytes = int64(head.LSN - applied)
			}
		}
		if tails.Of[rec.Handle].Ended && s.State != control.StateEnded && s.State != control.StateDeleting {
			s.State = control.StateEnded // the record follows in a moment
			if s.Reason, err = shapelog.LastWord(ctx, p.cfg.JS, p.cfg.Source, rec); err != nil {
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
		Inner: rec.Internal, Offset: tail.Committed, Rows: tail.CommittedRows, LogBytes: tail.Bytes, SnapshotRows: rec.SnapshotRows,
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
