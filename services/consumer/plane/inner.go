package plane

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// innerTables looks up the tables that a clause's subqueries select from, and
// keeps them for the shape's record. It serves one request.
type innerTables struct {
	ctx    context.Context //nolint:containedctx // that of the request, for find, whose form is given
	plane  *server
	tables []*pg.TableInfo
}

// find is a predicate.Catalog.
func (t *innerTables) find(schema, name string) (*predicate.Table, error) {
	info, err := t.plane.lookup(t.ctx, schema, name)
	if err != nil {
		return nil, err
	}
	t.tables = append(t.tables, info)
	pt := follow.ColumnsOf(info)
	return &pt, nil
}

// same reports whether the tables are those that the inner shapes were made for.
func (t *innerTables) same(made []*pg.TableInfo) bool {
	structures := map[uint32]string{}
	for _, m := range made {
		structures[m.Relation.OID] = m.Structure()
	}
	return !slices.ContainsFunc(t.tables, func(found *pg.TableInfo) bool { return structures[found.Relation.OID] != found.Structure() })
}

// subqueries finds or registers the inner shapes of a clause: for each
// subquery the shape of its rows, with the key's columns and the selected ones. tables are those that
// these are made for, at every depth.
//
// What an inner shape that has subqueries itself comes to, its writer decides, so it must be in the same partition as the
// shape that selects from it. The first one of them says which that is; in says it, if it is not anywhere.
func (p *server) subqueries(ctx context.Context, pred *predicate.Predicate, in int) (out []registry.Subquery, tables []*pg.TableInfo, err error) {
	for _, q := range pred.Subqueries() {
		sub, of, err := p.subquery(ctx, q, in)
		if err != nil {
			return nil, nil, err
		}
		if sub.Unit && in == anywhere {
			in = sub.Partition
		}
		out, tables = append(out, sub), append(tables, of...)
	}
	return out, tables, nil
}

// subquery finds or registers the inner shape of one subquery.
func (p *server) subquery(ctx context.Context, q *predicate.Subquery, in int) (sub registry.Subquery, tables []*pg.TableInfo, err error) {
	fail := func(err error) (registry.Subquery, []*pg.TableInfo, error) { return registry.Subquery{}, nil, err }
	table, err := p.lookup(ctx, q.Schema, q.Table)
	if err != nil {
		return fail(err)
	}
	columns := slices.Clone(q.Select)
	for _, k := range table.PrimaryKey {
		if !slices.Contains(columns, k) {
			columns = append(columns, k)
		}
	}
	slices.Sort(columns)
	rec, _, err := p.define(ctx, control.CreateRequest{
		Table: pg.Ident(q.Schema) + "." + pg.Ident(q.Table), Columns: slices.Compact(columns), Where: q.Where, Params: q.Params,
	}, in)
	if err != nil {
		return fail(err)
	}
	rec.Internal = true
	rec, fresh, err := p.register(ctx, rec)
	if err != nil {
		return fail(err)
	}
	if in != anywhere && len(rec.Subqueries) > 0 && rec.Partition != in { // another request was first, to a process that knew of fewer partitions
		return fail(refuse.With(control.CodeConflict, "shape %s, from which the subquery selects, was made in another partition meanwhile; try again in a moment", rec.Handle))
	}
	if !fresh {
		if err := p.want(ctx, rec); err != nil {
			return fail(err)
		}
	}
	sub = registry.Subquery{ID: rec.ID, Handle: rec.Handle, Partition: rec.Partition, Unit: len(rec.Subqueries) > 0}
	for _, c := range q.Select {
		sub.Columns = append(sub.Columns, slices.Index(rec.Definition.Columns, c))
	}
	return sub, append([]*pg.TableInfo{rec.Table}, rec.InnerTables...), nil
}

// anywhere leaves it to a shape which partition it is in.
const anywhere = -1

// place names a shape and chooses its partition: that of the inner shapes that have subqueries themselves, else the one in
// which it is already, else the one that its name gives, unless it must be in another. Only a shape with subqueries has to be
// where others are; where that is not the partition that it would be in by itself, it is a copy for those who are there, with a
// name of its own.
func (p *server) place(ctx context.Context, def shape.Definition, canonical string, subqueries []registry.Subquery, in int) (id string, partition int, err error) {
	id = def.ID(canonical)
	partition = shape.Partition(id, p.cfg.Partitions.Count())
	for _, q := range subqueries {
		if q.Unit {
			partition = q.Partition
		}
	}
	if in == anywhere || len(subqueries) == 0 {
		return id, partition, nil
	}
	// It may have been made when the source had fewer partitions.
	switch have, err := p.cfg.Shapes.Get(ctx, id); {
	case err == nil && have.Alive():
		partition = have.Partition
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return "", 0, err
	}
	if in == partition {
		return id, partition, nil
	}
	return def.ID(fmt.Sprintf("%s in partition %d", canonical, in)), in, nil
}

// want marks an inner shape as wanted now, so that it is not removed as one that nobody needs
// before the record of the outer shape is there.
func (p *server) want(ctx context.Context, rec *registry.Shape) error {
	now, err := p.cfg.Shapes.Change(ctx, rec.ID, func(r *registry.Shape) bool {
		return r.Handle == rec.Handle && r.Internal && r.Alive()
	})
	switch {
	case errors.Is(err, registry.ErrNotFound):
	case err != nil:
		return err
	case now.Handle == rec.Handle && now.Alive():
		return nil
	}
	return refuse.With(control.CodeConflict, "shape %s, from which the subquery selects, is being removed; try again in a moment", rec.Handle)
}
