package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
)

// workload draws transactions. It knows no state: what a statement meets is
// the database's matter.
type workload struct {
	rng    *rand.Rand
	schema *Schema
	rows   bool // only rows are changed, never the catalog
}

// Ids of rows: small ones that meet often. Large transactions use others.
const (
	maxProject = 6
	maxTask    = 24
	maxOther   = 30
	bigID      = 1000
)

// transaction is a script that is one transaction.
func (w *workload) transaction() string {
	var b strings.Builder
	b.WriteString("BEGIN;")
	for range 1 + w.rng.IntN(5) {
		switch w.rng.IntN(40) {
		case 0:
			b.WriteString("SAVEPOINT s;" + w.statement() + w.statement() + "ROLLBACK TO s;" + w.statement())
		case 1:
			b.WriteString("SAVEPOINT s;" + w.statement() + "RELEASE s;")
		case 2, 3:
			b.WriteString(w.toggle())
		default:
			b.WriteString(w.statement())
		}
	}
	switch w.rng.IntN(150) {
	case 0, 1, 2, 3:
		b.WriteString("ROLLBACK;")
	case 4:
		if w.rows {
			b.WriteString("COMMIT;")
			break
		}
		b.WriteString("TRUNCATE " + w.table().SQL() + " CASCADE; COMMIT;")
	default:
		b.WriteString("COMMIT;")
	}
	return b.String()
}

// table draws a table, those near the beginning of the chain less often.
func (w *workload) table() *Table {
	return w.schema.Tables[[]int{projects, tasks, tasks, comments, comments, members, wide, notes}[w.rng.IntN(8)]]
}

// toggle changes membership several times within a transaction.
func (w *workload) toggle() string {
	t := w.schema.Tables[[]int{projects, tasks, members, wide}[w.rng.IntN(4)]]
	flag, where := t.column(RoleFlag), w.some(t)
	var b strings.Builder
	for range 2 + w.rng.IntN(3) {
		fmt.Fprintf(&b, "UPDATE %s SET %s = NOT %s WHERE %s;", t.SQL(), flag, flag, where)
		if w.rng.IntN(3) == 0 {
			b.WriteString(w.statement())
		}
	}
	return b.String()
}

func (w *workload) statement() string {
	t := w.table()
	if len(t.Key) == 0 {
		return w.keyless(t)
	}
	switch n := w.rng.IntN(20); {
	case n < 9:
		return w.upsert(t)
	case n < 14:
		return w.update(t)
	case n < 15: // changes nothing
		return fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s;", t.SQL(), t.column(RoleCode), t.column(RoleCode), w.some(t))
	case n < 17:
		return w.move(t)
	case n < 18:
		return fmt.Sprintf("DELETE FROM %s WHERE %s AND %s IS NOT TRUE;", t.SQL(), t.column(RoleCode)+" = "+w.value(RoleCode), t.column(RoleFlag))
	}
	return fmt.Sprintf("DELETE FROM %s WHERE %s;", t.SQL(), w.some(t))
}

func (w *workload) upsert(t *Table) string {
	var columns, values, set, key []string
	isKey := map[int]bool{}
	for _, k := range t.Key {
		isKey[k] = true
		key = append(key, pg.Ident(t.Columns[k].Name))
	}
	for i, c := range t.Columns {
		name := pg.Ident(c.Name)
		columns = append(columns, name)
		v := w.value(c.Role)
		if isKey[i] {
			v = w.key(c.Role)
		} else {
			set = append(set, name+" = EXCLUDED."+name)
		}
		values = append(values, v)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s;",
		t.SQL(), strings.Join(columns, ", "), strings.Join(values, ", "), strings.Join(key, ", "), strings.Join(set, ", "))
}

func (w *workload) update(t *Table) string {
	var free []int
	for i, c := range t.Columns {
		if c.Role != RoleLarge && (len(t.Key) == 0 || !slices.Contains(t.Key, i)) {
			free = append(free, i)
		}
	}
	var set []string
	w.rng.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	for _, i := range free[:1+w.rng.IntN(2)] {
		set = append(set, pg.Ident(t.Columns[i].Name)+" = "+w.value(t.Columns[i].Role))
	}
	where := w.some(t)
	if w.rng.IntN(3) == 0 {
		where = t.column(RoleCode) + " = " + w.value(RoleCode)
	}
	return fmt.Sprintf("UPDATE %s SET %s WHERE %s;", t.SQL(), strings.Join(set, ", "), where)
}

// move changes a key, to one that is free.
func (w *workload) move(t *Table) string {
	c := t.Columns[t.Key[w.rng.IntN(len(t.Key))]]
	name, to := pg.Ident(c.Name), w.key(c.Role)
	same := fmt.Sprintf("x.%s = %s", name, to)
	for _, k := range t.Key {
		if other := pg.Ident(t.Columns[k].Name); other != name {
			same += fmt.Sprintf(" AND x.%s = t.%s", other, other)
		}
	}
	return fmt.Sprintf("UPDATE %s t SET %s = %s WHERE %s AND NOT EXISTS (SELECT FROM %s x WHERE %s);",
		t.SQL(), name, to, w.some(t), t.SQL(), same)
}

// keyless changes a table without a key, where equal rows are told apart by
// their number only.
func (w *workload) keyless(t *Table) string {
	one := fmt.Sprintf("ctid = (SELECT ctid FROM %s WHERE %s = %s LIMIT 1)", t.SQL(), t.column(RoleNumber), w.value(RoleNumber))
	switch w.rng.IntN(4) {
	case 0, 1:
		return w.insertKeyless(t)
	case 2:
		return fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s;", t.SQL(), t.column(RolePerson), w.value(RolePerson), one)
	}
	return fmt.Sprintf("DELETE FROM %s WHERE %s;", t.SQL(), one)
}

func (w *workload) insertKeyless(t *Table) string {
	return fmt.Sprintf("INSERT INTO %s (%s, %s, %s) SELECT %s, %s, %s FROM generate_series(1, %d);",
		t.SQL(), t.column(RolePerson), t.column(RoleNumber), t.column(RoleCode), w.value(RolePerson), w.value(RoleNumber), w.value(RoleCode), 1+w.rng.IntN(2))
}

// some is a condition that one row fulfils, or few.
func (w *workload) some(t *Table) string {
	var parts []string
	for _, k := range t.Key[:1+w.rng.IntN(len(t.Key))] {
		parts = append(parts, pg.Ident(t.Columns[k].Name)+" = "+w.key(t.Columns[k].Role))
	}
	return strings.Join(parts, " AND ")
}

// key draws a value that may stand in a key.
func (w *workload) key(r Role) string {
	switch r {
	case RoleProject:
		return fmt.Sprint(1 + w.rng.IntN(maxProject))
	case RoleTask:
		return fmt.Sprint(1 + w.rng.IntN(maxTask))
	case RolePerson:
		return w.schema.Person.Values[w.rng.IntN(len(w.schema.Person.Values))]
	default:
		return fmt.Sprint(1 + w.rng.IntN(maxOther))
	}
}

// value draws any value of a role.
func (w *workload) value(r Role) string {
	if w.rng.IntN(8) == 0 {
		return "NULL"
	}
	switch r {
	case RoleProject: // one that is there, or the reference would fail
		return fmt.Sprintf("(SELECT min(id) FROM %s WHERE id >= %s)", w.schema.Tables[projects].SQL(), w.key(r))
	case RoleTask:
		return fmt.Sprintf("(SELECT min(id) FROM %s WHERE id >= %s)", w.schema.Tables[tasks].SQL(), w.key(r))
	case RoleCode:
		return w.schema.Code.Values[w.rng.IntN(len(w.schema.Code.Values))]
	case RolePerson:
		return w.schema.Person.Values[w.rng.IntN(len(w.schema.Person.Values))]
	case RoleFlag:
		return []string{"true", "true", "false"}[w.rng.IntN(3)]
	case RoleNumber:
		return fmt.Sprint(w.rng.IntN(12))
	case RoleLarge:
		return fmt.Sprintf("repeat('%d,', %d)", w.rng.IntN(1000), 1000+w.rng.IntN(1500))
	default:
		return fmt.Sprintf("'body %d'", w.rng.IntN(100))
	}
}

// big is a transaction of about so many ops, which leaves few rows behind.
func (w *workload) big(ops int) string {
	t := w.schema.Tables[[]int{projects, tasks, comments, wide}[w.rng.IntN(4)]]
	n := max(1, ops/3)
	var columns, values []string
	for i, c := range t.Columns {
		v := w.value(c.Role)
		switch {
		case slices.Contains(t.Key, i):
			v = fmt.Sprintf("%d + g", bigID)
		case c.Role == RoleNumber:
			v = "g % 12"
		case c.Role == RoleFlag:
			v = "g % 3 = 0"
		case c.Role == RoleCode:
			v = fmt.Sprintf("CASE WHEN g %% 2 = 0 THEN CAST(%s AS %s) ELSE %s END", w.schema.Code.Values[0], w.schema.Code.Type, w.schema.Code.Values[1])
		case c.Role == RoleLarge:
			v = "repeat('x', 10)"
		}
		columns, values = append(columns, pg.Ident(c.Name)), append(values, v)
	}
	key := pg.Ident(t.Columns[t.Key[0]].Name)
	keep := n
	if w.rng.IntN(4) > 0 {
		keep = min(n, 20)
	}
	return fmt.Sprintf(`BEGIN;
		DELETE FROM %[1]s WHERE %[2]s > %[3]d;
		INSERT INTO %[1]s (%[4]s) SELECT %[5]s FROM generate_series(1, %[6]d) g;
		UPDATE %[1]s SET %[7]s = %[7]s IS NOT TRUE WHERE %[2]s > %[3]d;
		%[9]s
		DELETE FROM %[1]s WHERE %[2]s > %[3]d + %[8]d;
		COMMIT;`, t.SQL(), key, bigID, strings.Join(columns, ", "), strings.Join(values, ", "), n, t.column(RoleFlag), keep, w.statement())
}
