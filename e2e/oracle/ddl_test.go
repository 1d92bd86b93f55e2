package oracle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg"
)

// DDL says what a table is from a transaction on. The transaction itself says
// so, in a message that it writes into the WAL.
type DDL struct {
	Table *Table
	Empty bool   // it was made again, without rows
	Fill  []byte // what its rows have in a column that came
}

// ddlPrefix is that of the messages.
const ddlPrefix = "oracle"

// alterOne changes the definition of a table.
func (w *world) alterOne() {
	w.tb.Helper()
	conn, err := w.dial(w.tb.Context())
	if err != nil {
		return
	}
	defer closeConn(w.tb.Context(), conn)
	if !w.try(conn, "BEGIN; SET LOCAL lock_timeout = '3s'") {
		return
	}
	if w.alter(conn, w.schema.Tables[w.rng.IntN(len(w.schema.Tables))]) {
		w.try(conn, "COMMIT")
		w.allEnd()
	}
}

// alter changes the definition of a table, in the transaction that is open on
// conn: all shapes that know the table end.
func (w *world) alter(conn *pgx.Conn, t *Table) bool {
	w.tb.Helper()
	now := w.defined[t.SQL()]
	if now == nil {
		now = t
	}
	var all []string
	for _, o := range w.dependents(t) {
		all = append(all, o.SQL())
	}
	if !w.try(conn, "LOCK TABLE "+strings.Join(all, ", ")+" IN ACCESS EXCLUSIVE MODE") {
		return false
	}
	next := &Table{Schema: t.Schema, Name: t.Name, Key: now.Key, Columns: slices.Clone(now.Columns)}
	d := DDL{Table: next}
	var sql, what string
	number := slices.IndexFunc(now.Columns, func(c Column) bool { return c.Role == RoleNumber })
	switch n := w.rng.IntN(3); {
	case n == 0 && number >= 0:
		c := &next.Columns[number]
		c.Type = map[string]string{"int": "bigint", "bigint": "int"}[c.Type]
		what = fmt.Sprintf("column %s becomes %s", c.Name, c.Type)
		sql = fmt.Sprintf("ALTER TABLE %s ALTER %s TYPE %s;", t.SQL(), pg.Ident(c.Name), c.Type)
	case n == 1:
		next.Columns, next.Key = slices.Clone(t.Columns), t.Key
		d.Empty = true
		what = "it is dropped and made again"
		sql = "DROP TABLE " + t.SQL() + " CASCADE;" + next.create(false) + "ALTER PUBLICATION " + publication + " ADD TABLE " + t.SQL() + ";"
	default:
		name := fmt.Sprintf("extra %d", len(now.Columns))
		d.Fill = []byte("7")
		next.Columns = append(next.Columns, Column{Name: name, Type: "int", Role: RoleExtra})
		what = "column " + name + " is added"
		sql = fmt.Sprintf("ALTER TABLE %s ADD %s int DEFAULT %s;", t.SQL(), pg.Ident(name), d.Fill)
	}
	text, err := json.Marshal(d) //nolint:musttag // only this package reads it
	if err != nil {
		w.tb.Fatal(err)
	}
	if !w.try(conn, sql+fmt.Sprintf("SELECT pg_logical_emit_message(true, '%s', '%s');", ddlPrefix, strings.ReplaceAll(string(text), "'", "''"))) {
		return false
	}
	w.finish(t.SQL()+": "+what, func(l *living) bool { return l.knows(t) }) // before anybody is told by the commit
	w.defined[t.SQL()] = next
	w.note("%s: %s", t.SQL(), what)
	return true
}

// knows reports whether a shape is of a table, or has a subquery on it.
func (l *living) knows(t *Table) bool {
	from := "FROM " + t.SQL()
	where := l.shape.Info().Where
	return l.shape.Info().Schema == t.Schema && l.shape.Info().Table == t.Name ||
		strings.Contains(where, from+" ") || strings.Contains(where, from+")")
}

// redefine brings the history past a change of a table.
func (h *history) redefine(tables map[string]*Table, live map[*Table]map[string][]int, n int, d DDL) {
	name := d.Table.SQL()
	was := tables[name]
	tables[name] = d.Table
	h.redefined[n] = append(h.redefined[n], d.Table)
	rows := map[string][]int{}
	for key, ids := range live[was] {
		for _, id := range ids {
			h.versions[id].dead = n
			if d.Empty {
				continue
			}
			row := slices.Clone(h.versions[id].row)
			for len(row) < len(d.Table.Columns) {
				row = append(row, d.Fill)
			}
			if len(d.Table.Key) == 0 {
				key = d.Table.keyOf(row)
			}
			rows[key] = append(rows[key], len(h.versions))
			h.versions = append(h.versions, version{table: d.Table, row: row, born: n, dead: never})
		}
	}
	delete(live, was)
	live[d.Table] = rows
}

// ddl reads a message of alter's.
func (d *decoder) ddl() error {
	d.byte()   // options
	d.uint64() // LSN
	prefix := d.text()
	data := d.take(int(d.uint32()))
	if prefix != ddlPrefix || d.bad {
		return nil
	}
	var def DDL
	if err := json.Unmarshal(data, &def); err != nil { //nolint:musttag // only this package writes it
		return fmt.Errorf("message %q: %w", data, err)
	}
	t := &d.txns[len(d.txns)-1]
	t.DDL = append(t.DDL, def)
	return nil
}
