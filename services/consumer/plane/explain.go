package plane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/snapshots"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
)

// Bounds of one explanation.
const (
	explainPage = 100     // shapes in an answer
	explainScan = 2000    // records looked at for them
	explainRow  = 4 << 20 // bytes of a row that is read
)

// explain says which shapes of a table have a row, and why, by what Postgres says at one moment.
// Clauses are evaluated here, by the code that filters; only what subqueries select is asked of
// Postgres.
func (p *server) explain(ctx context.Context, req control.ExplainRequest) (any, error) {
	schema, name, err := shape.ParseTable(req.Table)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	table, err := p.lookup(ctx, schema, name)
	if err != nil {
		return nil, err
	}
	if err := namesRow(table, req.Key); err != nil {
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
	x := &explainer{ctx: ctx, conn: conn.PgConn(), allowed: p.cfg.Allowed}
	row, err := x.row(table, key)
	if err != nil {
		return nil, err
	}
	if row != nil {
		out.Found = true
		if out.Row, err = rowWithin(table, row, p.room()/2); err != nil {
			return nil, err
		}
	}
	why := make([]control.RowMembership, len(records))
	for i, rec := range records {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if row != nil && rec.Alive() {
			why[i] = x.membership(rec, table, row)
		}
	}
	return why, nil
}

// fit puts into an answer what fits into a message; the rest comes with the next one.
func (p *server) fit(out *control.Explanation, why []control.RowMembership, shapes []control.Shape) (any, error) {
	base, err := encode(out)
	if err != nil {
		return nil, err
	}
	size := len(base)
	for i := range shapes {
		m := why[i]
		m.Shape = shapes[i]
		data, err := encode(m)
		if err != nil {
			return nil, err
		}
		if len(data) > p.room()-len(base)-1 { // no answer has room for it
			m = control.RowMembership{Shape: brieflyOf(&shapes[i], len(data)), Matches: m.Matches, Problem: "the explanation is too large for a message"}
			if data, err = encode(m); err != nil {
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

// rowWithin is a row in so many bytes: its values are cut the shorter the more of them there are,
// and left out in the end.
func rowWithin(table *pg.TableInfo, row [][]byte, room int) ([]control.Cell, error) {
	for _, limit := range []int{rowCell, rowCell / 8, rowCell / 64} {
		cells := make([]control.Cell, len(row))
		for i, c := range table.Relation.Columns {
			cells[i] = cellOf(c.Name, row[i], limit)
		}
		data, err := encode(cells)
		if err != nil || len(data) <= room {
			return cells, err
		}
	}
	return nil, nil
}

// namesRow refuses a key that is not the table's.
func namesRow(t *pg.TableInfo, key map[string]string) error {
	if len(t.PrimaryKey) == 0 {
		return badRequest("table %s has no primary key by which one of its rows could be named", t)
	}
	for _, k := range t.PrimaryKey {
		if _, ok := key[k]; !ok || len(key) != len(t.PrimaryKey) {
			return badRequest("the key of table %s has the columns %s; give a value for each of them and for no other", t, strings.Join(t.PrimaryKey, ", "))
		}
	}
	return nil
}

// shapesOf returns a page of the shapes of a table, in the order of their ids, and where the next
// page begins.
func (p *server) shapesOf(ctx context.Context, schema, table, after string, limit int) (of []*registry.Shape, next string, err error) {
	if limit == 0 {
		limit = explainPage
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

// errRowLarge says that a row is larger than one that is explained.
func errRowLarge(table *pg.TableInfo, size string) error {
	return &requestError{control.CodeTooLarge, fmt.Sprintf("the row of table %s has %s bytes, and one that is explained at most %d", table, size, explainRow)}
}
