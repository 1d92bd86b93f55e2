package plane

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/services/consumer/plane/answer"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
	"github.com/shapebus/shapebus/services/consumer/plane/whereis"
)

// explainScan is how many records are looked at for the shapes of one answer.
const explainScan = 2000

// explain says which shapes of a table have a row, and why, by what Postgres says at one moment.
// Clauses are evaluated here, by the code that filters; only what subqueries select is asked of
// Postgres.
func (p *server) explain(ctx context.Context, req control.ExplainRequest) (any, error) {
	schema, name, err := shape.ParseTable(req.Table)
	if err != nil {
		return nil, refuse.BadRequest("%v", err)
	}
	table, err := p.lookup(ctx, schema, name)
	if err != nil {
		return nil, err
	}
	if err := whereis.CheckKey(table, req.Key); err != nil {
		return nil, err
	}
	records, next, err := p.shapesOf(ctx, schema, name, req.After, req.Limit)
	if err != nil {
		return nil, err
	}
	out := &control.Explanation{Schema: schema, Table: name, Next: next, In: []control.RowMembership{}}
	var why []control.RowMembership
	err = p.connected(ctx, func(conn *pgx.Conn) error {
		if err := readable(ctx, conn, table); err != nil {
			return err
		}
		snap, err := snapshots.Open(ctx, conn)
		if err != nil {
			return err
		}
		out.At = snap.LSN
		why, err = p.explainIn(ctx, conn, table, req.Key, records, out)
		return errors.Join(err, snap.Close(context.WithoutCancel(ctx)))
	})
	if err != nil {
		return nil, err
	}
	// Later than the snapshot: what is applied then is not less.
	shapes, err := p.describeAll(ctx, records)
	if err != nil {
		return nil, err
	}
	return p.fit(out, why, shapes)
}

// explainIn reads the row in the open snapshot and explains it for each record.
func (p *server) explainIn(ctx context.Context, conn *pgx.Conn, table *pg.TableInfo, key map[string]string, records []*registry.Shape, out *control.Explanation) ([]control.RowMembership, error) {
	x := whereis.New(ctx, conn.PgConn(), p.cfg.Allowed)
	row, err := x.Row(table, key)
	if err != nil {
		return nil, err
	}
	if row != nil {
		out.Found = true
		if out.Row, err = whereis.RowWithin(table, row, p.room()/2); err != nil {
			return nil, err
		}
	}
	why := make([]control.RowMembership, len(records))
	for i, rec := range records {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if row != nil && rec.Alive() {
			why[i] = x.Membership(rec, table, row)
		}
	}
	return why, nil
}

// fit puts into an answer what fits into a message; the rest comes with the next one.
func (p *server) fit(out *control.Explanation, why []control.RowMembership, shapes []control.Shape) (any, error) {
	base, err := answer.Encode(out)
	if err != nil {
		return nil, err
	}
	size := len(base)
	for i := range shapes {
		m := why[i]
		m.Shape = shapes[i]
		data, err := answer.Encode(m)
		if err != nil {
			return nil, err
		}
		if len(data) > p.room()-len(base)-1 { // no answer has room for it
			m = control.RowMembership{Shape: answer.BriefShape(&shapes[i], len(data)), Matches: m.Matches, Problem: "the explanation is too large for a message"}
			if data, err = answer.Encode(m); err != nil {
				return nil, err
			}
		}
		if size += len(data) + 1; size > p.room() && i > 0 {
			out.Next = shapes[i-1].ID
			break
		}
		out.In = append(out.In, m)
	}
	return out, nil
}

// shapesOf returns a page of the shapes of a table, in the order of their ids, and where the next
// page begins.
func (p *server) shapesOf(ctx context.Context, schema, table, after string, limit int) (of []*registry.Shape, next string, err error) {
	if limit == 0 {
		limit = whereis.Page
	}
	ids, err := p.cfg.Shapes.IDs(ctx)
	if err != nil {
		return nil, "", err
	}
	from, found := slices.BinarySearch(ids, after)
	if found {
		from++
	}
	ids = ids[from:]
	for seen := 0; len(ids) > 0; {
		if seen >= explainScan || len(of) >= limit {
			return of, next, nil
		}
		n := min(listChunk, len(ids), limit-len(of))
		records, err := p.cfg.Shapes.GetAll(ctx, ids[:n])
		if err != nil {
			return nil, "", err
		}
		for _, rec := range records {
			if d := rec.Definition; d.Schema == schema && d.Table == table && rec.Table != nil {
				of = append(of, rec)
			}
		}
		seen, next, ids = seen+n, ids[n-1], ids[n:]
	}
	return of, "", nil
}
