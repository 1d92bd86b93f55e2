package oracle

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/control"
)

// mirror is a database whose tables are brought to any moment of a history,
// so that Postgres itself answers what a SELECT returned then.
type mirror struct {
	conn *pgx.Conn
	h    *history
	at   int // the moment that the tables are at; between calls nothing is deferred

	tables map[string]*Table // as they are at that moment
}

func newMirror(ctx context.Context, url string, s *Schema, h *history) (*mirror, error) {
	cfg, err := pg.ParseConfig(url, "oracle")
	if err != nil {
		return nil, err
	}
	conn, err := pg.Connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if _, err := conn.PgConn().Exec(ctx, s.create(true)).ReadAll(); err != nil {
		return nil, fmt.Errorf("make the mirror: %w", err)
	}
	m := &mirror{conn: conn, h: h, tables: map[string]*Table{}}
	for _, t := range s.Tables {
		m.tables[t.SQL()] = t
	}
	return m, nil
}

// rows is what the shape's query returned at a moment. Moments are cheap when
// they come in order.
func (m *mirror) rows(ctx context.Context, at moment, shape control.Shape) (rows map[string]int, err error) {
	if err := m.move(ctx, at.last); err != nil {
		return nil, fmt.Errorf("bring the mirror to transaction %d: %w", at.last, err)
	}
	if len(at.deferred) == 0 {
		return logcheck.Select(ctx, m.conn, shape)
	}
	tx, err := m.conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := tx.Rollback(ctx); err == nil {
			err = e
		}
	}()
	var gone, come []int
	whole, seen := moment{last: at.last}, map[int]bool{}
	for _, n := range at.deferred {
		for _, ids := range [][]int{m.h.born[n], m.h.dead[n]} {
			for _, id := range ids {
				v := &m.h.versions[id]
				switch was, is := whole.sees(v), at.sees(v); {
				case seen[id] || was == is:
				case was:
					gone = append(gone, id)
				default:
					come = append(come, id)
				}
				seen[id] = true
			}
		}
	}
	if err := m.change(ctx, gone, come); err != nil {
		return nil, fmt.Errorf("take transactions %v out of the mirror: %w", at.deferred, err)
	}
	return logcheck.Select(ctx, m.conn, shape)
}

// move brings the tables to the moment after the n-th transaction.
func (m *mirror) move(ctx context.Context, n int) error {
	for i := m.at + 1; i <= n; i++ {
		if len(m.h.redefined[i]) == 0 {
			continue
		}
		if err := m.moveOn(ctx, i-1); err != nil {
			return err
		}
		for _, t := range m.h.redefined[i] {
			if _, err := m.conn.PgConn().Exec(ctx, "DROP TABLE "+t.SQL()+";"+t.create(true)).ReadAll(); err != nil {
				return err
			}
			m.tables[t.SQL()] = t
		}
		if err := m.moveOn(ctx, i); err != nil {
			return err
		}
	}
	for i := n + 1; i <= m.at; i++ {
		if len(m.h.redefined[i]) > 0 {
			return fmt.Errorf("transaction %d changed a table; the mirror does not go back behind it", i)
		}
	}
	return m.moveOn(ctx, n)
}

// moveOn is move where no table changes.
func (m *mirror) moveOn(ctx context.Context, n int) error {
	if n == m.at {
		return nil
	}
	from, to := moment{last: m.at}, moment{last: n}
	var gone, come []int
	for i := min(m.at, n) + 1; i <= max(m.at, n); i++ {
		for _, ids := range [][]int{m.h.born[i], m.h.dead[i]} {
			for _, id := range ids {
				v := &m.h.versions[id]
				// A version that was born and died on the way is at two places, and at neither end.
				switch was, is := from.sees(v), to.sees(v); {
				case was && !is:
					gone = append(gone, id)
				case is && !was:
					come = append(come, id)
				}
			}
		}
	}
	m.at = n
	return m.change(ctx, gone, come)
}

func (m *mirror) change(ctx context.Context, gone, come []int) error {
	deletes := map[*Table][]int{}
	for _, id := range gone {
		t := m.h.versions[id].table
		if t != m.tables[t.SQL()] {
			continue // it went with the table
		}
		deletes[t] = append(deletes[t], id)
	}
	for t, ids := range deletes {
		if _, err := m.conn.Exec(ctx, "DELETE FROM "+t.SQL()+" WHERE "+versionColumn+" = ANY($1)", ids); err != nil {
			return err
		}
	}
	inserts := map[*Table]*bytes.Buffer{}
	for _, id := range come {
		v := &m.h.versions[id]
		if v.table != m.tables[v.table.SQL()] {
			continue
		}
		if inserts[v.table] == nil {
			inserts[v.table] = &bytes.Buffer{}
		}
		copyRow(inserts[v.table], v.row, id)
	}
	for t, data := range inserts {
		if _, err := m.conn.PgConn().CopyFrom(ctx, data, "COPY "+t.SQL()+" FROM STDIN"); err != nil {
			return err
		}
	}
	return nil
}

var copyEscapes = strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r", "\t", "\\t")

// copyRow writes a row and its version in COPY's text format.
func copyRow(b *bytes.Buffer, row [][]byte, id int) {
	for _, v := range row {
		if v == nil {
			b.WriteString("\\N\t")
			continue
		}
		b.WriteString(copyEscapes.Replace(string(v)))
		b.WriteByte('\t')
	}
	b.WriteString(strconv.Itoa(id))
	b.WriteByte('\n')
}
