package plane

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/consumer/follow"
	"github.com/shapebus/shapebus/services/consumer/plane/answer"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
	"github.com/shapebus/shapebus/services/consumer/shapelog"
)

// create finds or registers a shape. Nothing changes before the request has
// been found good; then the table is fenced in, and last the record is stored,
// which sets the lease holder to work.
func (p *server) create(ctx context.Context, req control.CreateRequest) (any, error) {
	rec, hint, err := p.define(ctx, req, anywhere)
	if err != nil {
		return nil, err
	}
	rec, fresh, err := p.register(ctx, rec)
	if err != nil {
		return nil, err
	}
	if fresh { // its log has not begun
		out := summary(rec, wire.Tail{})
		out.Hint = hint
		return out, nil
	}
	out, err := p.describe(ctx, rec)
	if err == nil {
		out.Hint = hint
	}
	return out, err
}

// unindexed is the hint for a clause by which no index finds the shape.
const unindexed = "every change of the table is compared with this shape, since no index finds it by its clause; " +
	"one would with a condition such as column = constant beside the others (AND), see Routing in docs/PREDICATES.md"

// hintOf is what would make a shape cheaper to keep; "" if there is nothing to say.
func hintOf(pred *predicate.Predicate) string {
	if pred.SQL() == "true" || pred.Access().Form != access.Scan {
		return ""
	}
	return unindexed
}

// register stores the record of a new incarnation, unless the shape is alive: then it returns the record
// that there is. fresh reports whether it stored one.
func (p *server) register(ctx context.Context, rec *registry.Shape) (out *registry.Shape, fresh bool, err error) {
	if _, err := answer.EncodeWithin(summary(rec, wire.Tail{}), p.room()); err != nil { // nobody could ask for it
		return nil, false, err
	}
	for {
		have, err := p.cfg.Shapes.Get(ctx, rec.ID)
		switch {
		case errors.Is(err, registry.ErrNotFound):
		case err != nil:
			return nil, false, err
		case have.State == control.StateDeleting:
			return nil, false, refuse.With(control.CodeConflict, "shape %s is being deleted; try again in a moment", have.Handle)
		case have.State == control.StateEnded:
			rec.Succeed(have)
		default:
			have, err := p.join(ctx, have, rec)
			return have, false, err
		}
		if err := p.cfg.Quotas.check(ctx, p.census, rec); err != nil {
			return nil, false, err
		}
		if err := p.cfg.Shapes.Put(ctx, rec); err == nil {
			p.cfg.Log.InfoContext(ctx, "shape registered", slog.String("shape", rec.Handle), slog.String("table", rec.Table.String()))
			return rec, true, nil
		} else if !errors.Is(err, registry.ErrConflict) {
			return nil, false, err
		}
		rec.Fresh()
	}
}

// join returns the incarnation that a shape has, for one more who wants it. want is the record of the
// life that would be made otherwise.
func (p *server) join(ctx context.Context, have, want *registry.Shape) (*registry.Shape, error) {
	over, err := p.over(ctx, have, want)
	switch {
	case err != nil:
		return nil, err
	case over:
		return nil, refuse.With(control.CodeConflict, "shape %s has ended and is being cleared away; try again in a moment", have.Handle)
	case !have.Internal || want.Internal:
		return have, nil
	}
	return p.cfg.Shapes.Change(ctx, have.ID, func(r *registry.Shape) bool {
		asked := r.Internal && r.Handle == have.Handle
		r.Internal = false
		return asked
	})
}

// over reports whether an incarnation is over though its record does not say so yet: its log has ended,
// its table is not what it was made for any more, or it depends on an earlier incarnation of an inner
// shape than there is.
func (p *server) over(ctx context.Context, have, want *registry.Shape) (bool, error) {
	if have.Structure != want.Structure || have.State == control.StateLive && have.Table.Files() != want.Table.Files() { // the look at the catalog ends it
		return true, nil
	}
	inner := map[string]bool{}
	for _, q := range have.Subqueries {
		inner[q.Handle] = true
	}
	for _, q := range want.Subqueries {
		if !inner[q.Handle] {
			return true, nil
		}
	}
	tails := shapelog.NewTails()
	if err := shapelog.GlanceAtTails(ctx, p.cfg.JS, p.cfg.Source, []*registry.Shape{have}, &tails); err != nil && !p.isDown(ctx, have.Partition) {
		return false, err
	}
	return tails.Of[have.Handle].Ended, nil
}

// maxDefinitions bounds how often a request is checked against tables that change meanwhile.
const maxDefinitions = 5

// define checks a request against the database and returns the record of a
// new incarnation. What was read of a table before it was made ready may be over then: making ready waits for
// whoever changes the table. So the record is of tables that were the same before and after, and
// the first shape of a table is checked twice. hint is for who asks. in is the partition that the shape must be in, or anywhere.
func (p *server) define(ctx context.Context, req control.CreateRequest, in int) (rec *registry.Shape, hint string, err error) {
	schema, name, err := shape.ParseTable(req.Table)
	if err != nil {
		return nil, "", refuse.BadRequest("%v", err)
	}
	for range maxDefinitions {
		rec, pred, err := p.defineOnce(ctx, req, schema, name, in)
		switch {
		case err != nil:
			return nil, "", err
		case rec != nil:
			return rec, hintOf(pred), nil
		}
	}
	return nil, "", refuse.With(control.CodeConflict, "table %s, or one that a subquery selects from, is being changed; try again in a moment", pg.Qualified(schema, name))
}

// defineOnce is one attempt of define. rec is nil if a table was changed during it.
func (p *server) defineOnce(ctx context.Context, req control.CreateRequest, schema, name string, in int) (rec *registry.Shape, pred *predicate.Predicate, err error) {
	table, err := p.lookup(ctx, schema, name)
	if err != nil {
		return nil, nil, err
	}
	columns, err := chooseColumns(table, req.Columns)
	if err != nil {
		return nil, nil, err
	}
	pred, inner, err := p.clause(ctx, table, req)
	if err != nil {
		return nil, nil, err
	}
	ready, err := p.ensure(ctx, table)
	if err != nil || ready.Structure() != table.Structure() {
		return nil, nil, err
	}
	subqueries, tables, err := p.subqueries(ctx, pred, in)
	if err != nil || !inner.same(tables) {
		return nil, nil, err
	}
	def := shape.Definition{Schema: schema, Table: name, Columns: columns, Where: req.Where, Params: req.Params}
	id, partition, err := p.place(ctx, def, pred.Canonical(), subqueries, in)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now().UTC()
	return &registry.Shape{
		ID: id, Handle: shape.NewHandle(id, now), Partition: partition,
		Definition: def, State: control.StateCreating, Created: now, Changed: now,
		Table: ready, Structure: ready.Structure(), Subqueries: subqueries, InnerTables: inner.tables,
	}, pred, nil
}

// clause checks the clause of a request for a table, here and by Postgres, and whether what it reads may be read.
func (p *server) clause(ctx context.Context, table *pg.TableInfo, req control.CreateRequest) (*predicate.Predicate, *innerTables, error) {
	inner := &innerTables{ctx: ctx, plane: p}
	pred, err := follow.Compile(req.Where, req.Params, table, inner.find)
	if err != nil {
		return nil, nil, err
	}
	if err := needsKey(table, pred); err != nil {
		return nil, nil, err
	}
	err = p.connected(ctx, func(conn *pgx.Conn) error {
		if err := readable(ctx, conn, append([]*pg.TableInfo{table}, inner.tables...)...); err != nil {
			return err
		}
		return predicate.Validate(ctx, conn.PgConn(), predicate.Table{Schema: table.Relation.Schema, Name: table.Relation.Name}, pred)
	})
	if err != nil {
		return nil, nil, err
	}
	return pred, inner, nil
}

// needsKey refuses a clause with a subquery on a table whose rows no key tells apart.
func needsKey(t *pg.TableInfo, pred *predicate.Predicate) error {
	if len(pred.Subqueries()) == 0 || len(t.PrimaryKey) > 0 {
		return nil
	}
	what := "has no primary key"
	if t.KeyFlaw != "" {
		what = "has a primary key that " + t.KeyFlaw
	}
	return refuse.BadRequest("table %s %s; a shape with a subquery needs one that tells rows apart, to know which come and go with the subquery's", t, what)
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
			return nil, refuse.BadRequest("column %s is asked for twice", c)
		}
		if slices.Contains(all, c) {
			continue
		}
		if slices.ContainsFunc(t.Columns, func(i pg.ColumnInfo) bool { return i.Name == c }) {
			return nil, refuse.BadRequest("column %s of table %s is generated; Postgres does not replicate it", c, t)
		}
		return nil, refuse.BadRequest("table %s has no column %s; it has %s", t, c, strings.Join(all, ", "))
	}
	for _, k := range t.PrimaryKey {
		if !slices.Contains(want, k) {
			return nil, refuse.BadRequest("the columns must include the primary key of table %s; add %s", t, k)
		}
	}
	return slices.DeleteFunc(all, func(c string) bool { return !slices.Contains(want, c) }), nil
}

// remove asks the lease holder to end a shape and to forget it.
func (p *server) remove(ctx context.Context, req control.ShapeRequest) (any, error) {
	rec, err := p.cfg.Shapes.Change(ctx, shapelog.IDOf(req.Shape), func(r *registry.Shape) bool {
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
		return nil, refuse.With(control.CodeNotFound, "shape %s: it has ended; its successor is %s", req.Shape, rec.Handle)
	}
	return p.describe(ctx, rec)
}

// names reports whether s is the record's id or handle.
func names(s string, r *registry.Shape) bool { return s == r.ID || s == r.Handle }
