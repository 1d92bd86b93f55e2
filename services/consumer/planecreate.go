package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pg"
	"github.com/shapebus/shapebus/pkg/predicate"
	"github.com/shapebus/shapebus/pkg/registry"
	"github.com/shapebus/shapebus/pkg/shape"
)

// create finds or registers a shape. Nothing changes before the request has
// been found good; then the table is fenced in, and last the record is stored,
// which sets the lease holder to work.
func (p *plane) create(ctx context.Context, req control.CreateRequest) (any, error) {
	conn, err := p.c.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.Release()
	rec, err := p.define(ctx, conn.Conn(), req)
	if err != nil {
		return nil, err
	}
	if rec, err = p.register(ctx, rec); err != nil {
		return nil, err
	}
	return p.describe(ctx, rec)
}

// register stores the record of a new life, unless the shape is alive: then it
// returns that one's.
func (p *plane) register(ctx context.Context, rec *registry.Shape) (*registry.Shape, error) {
	for {
		have, err := p.c.shapes.Get(ctx, rec.ID)
		switch {
		case errors.Is(err, registry.ErrNotFound):
		case err != nil:
			return nil, err
		case have.State == control.StateDeleting:
			return nil, &requestError{control.CodeConflict, fmt.Sprintf("shape %s is being deleted; try again in a moment", have.Handle)}
		case have.State != control.StateEnded && have.Unasked && !rec.Unasked:
			return p.c.shapes.Change(ctx, rec.ID, func(r *registry.Shape) bool {
				asked := r.Unasked && r.Handle == have.Handle
				r.Unasked = false
				return asked
			})
		case have.State != control.StateEnded:
			return have, nil
		default:
			rec.Succeed(have)
		}
		if err := p.c.shapes.Put(ctx, rec); err == nil {
			p.c.log.InfoContext(ctx, "shape registered", slog.String("shape", rec.Handle), slog.String("table", rec.Table.String()))
			return rec, nil
		} else if !errors.Is(err, registry.ErrConflict) {
			return nil, err
		}
		rec.Fresh()
	}
}

// define checks a request against the database and returns the record of a
// new life.
func (p *plane) define(ctx context.Context, conn *pgx.Conn, req control.CreateRequest) (*registry.Shape, error) {
	schema, name, err := shape.ParseTable(req.Table)
	if err != nil {
		return nil, &requestError{control.CodeBadRequest, err.Error()}
	}
	table, err := pg.LookupTable(ctx, conn, schema, name, p.c.cfg.Publication)
	if err != nil {
		return nil, err
	}
	columns, err := chooseColumns(table, req.Columns)
	if err != nil {
		return nil, err
	}
	inner := &innerTables{ctx: ctx, conn: conn, publication: p.c.cfg.Publication}
	pred, err := compile(req.Where, req.Params, table, inner.find)
	if err != nil {
		return nil, err
	}
	if len(pred.Subqueries()) > 0 && len(table.PrimaryKey) == 0 {
		return nil, &requestError{control.CodeBadRequest, fmt.Sprintf("table %s has no primary key; a shape with a subquery needs one, to tell which rows come and go with the subquery's", table)}
	}
	if err := predicate.Validate(ctx, conn.PgConn(), predicate.Table{Schema: schema, Name: name}, pred); err != nil {
		return nil, err
	}
	changed, err := pg.EnsureTable(ctx, conn, p.c.cfg.Publication, table, p.c.cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	if changed {
		if table, err = pg.LookupTable(ctx, conn, schema, name, p.c.cfg.Publication); err != nil {
			return nil, err
		}
	}
	subqueries, err := p.subqueries(ctx, conn, pred)
	if err != nil {
		return nil, err
	}
	def := shape.Definition{Schema: schema, Table: name, Columns: columns, Where: req.Where, Params: req.Params}
	id := def.ID(pred.Canonical())
	now := time.Now().UTC()
	return &registry.Shape{
		ID: id, Handle: shape.NewHandle(id, now), Partition: shape.Partition(id, p.c.cfg.Partitions),
		Definition: def, State: control.StateCreating, Created: now, Changed: now,
		Table: table, Structure: table.Structure(), Subqueries: subqueries, InnerTables: inner.tables,
	}, nil
}

// chooseColumns returns the wanted columns in the table's order.
func chooseColumns(t *pg.TableInfo, want []string) ([]string, error) {
	var all []string
	for _, c := range t.Relation.Columns {
		all = append(all, c.Name)
	}
	if len(want) == 0 {
		return all, nil
	}
	for i, c := range want {
		if slices.Contains(want[:i], c) {
			return nil, &requestError{control.CodeBadRequest, fmt.Sprintf("column %s is asked for twice", c)}
		}
		if slices.Contains(all, c) {
			continue
		}
		if slices.ContainsFunc(t.Columns, func(i pg.ColumnInfo) bool { return i.Name == c }) {
			return nil, &requestError{control.CodeBadRequest, fmt.Sprintf("column %s of table %s is generated; Postgres does not replicate it", c, t)}
		}
		return nil, &requestError{control.CodeBadRequest, fmt.Sprintf("table %s has no column %s; it has %s", t, c, strings.Join(all, ", "))}
	}
	for _, k := range t.PrimaryKey {
		if !slices.Contains(want, k) {
			return nil, &requestError{control.CodeBadRequest, fmt.Sprintf("the columns must include the primary key of table %s; add %s", t, k)}
		}
	}
	return slices.DeleteFunc(all, func(c string) bool { return !slices.Contains(want, c) }), nil
}

// remove asks the lease holder to end a shape and to forget it.
func (p *plane) remove(ctx context.Context, req control.ShapeRequest) (any, error) {
	rec, err := p.c.shapes.Change(ctx, idOf(req.Shape), func(r *registry.Shape) bool {
		if !names(req.Shape, r) {
			return false
		}
		r.State, r.Reason = control.StateDeleting, ""
		return true
	})
	if err != nil {
		return nil, err
	}
	if !names(req.Shape, rec) {
		return nil, &requestError{control.CodeNotFound, fmt.Sprintf("shape %s: it has ended; its successor is %s", req.Shape, rec.Handle)}
	}
	return p.describe(ctx, rec)
}

// idOf returns the id in a handle, or the id itself.
func idOf(s string) string {
	id, _, _ := strings.Cut(s, "-")
	return id
}

// names reports whether s is the record's id or handle.
func names(s string, r *registry.Shape) bool { return s == r.ID || s == r.Handle }
