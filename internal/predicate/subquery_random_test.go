package predicate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/shapebus/shapebus/internal/predicate/value"
	"github.com/shapebus/shapebus/internal/valueset"
)

// world is an outer table and inner ones of the same columns, filled at random in Postgres and here. One of the inner
// tables is empty, one has few rows, and so few different values.
type world struct {
	*oracle

	inner  map[string][][][]byte // rows by table
	shared string                // a parameter that several levels use, once there is one
}

func newWorld(t *testing.T, o *oracle) *world {
	t.Helper()
	w := &world{oracle: o, inner: map[string][][][]byte{"rows": o.rows}}
	for name, rows := range map[string]int{"in_a": 3 + o.gen.IntN(6), "in_b": 40, "in_c": 0} {
		sql := "CREATE TABLE " + name + " (LIKE rows)"
		for range rows {
			row := o.randomRow()
			sql += fmt.Sprintf("; INSERT INTO %s VALUES (%s, 0), (%s, 0)", name, row, o.randomRow())
			if o.gen.IntN(3) == 0 {
				sql += fmt.Sprintf("; INSERT INTO %s VALUES (%s, 0)", name, row)
			}
		}
		exec(t, o.conn, sql)
		w.inner[name] = exec(t, o.conn, "SELECT * FROM "+name)
	}
	return w
}

func (w *world) catalog(schema, name string) (*Table, error) {
	if _, ok := w.inner[name]; !ok || schema != "public" {
		return nil, fmt.Errorf("there is no %s.%s", schema, name)
	}
	t := w.table
	t.Name = name
	return &t, nil
}

// sets evaluates what the subqueries of a clause select, from the inmost outwards.
func (w *world) sets(p *Predicate) []Set {
	var out []Set
	for _, q := range p.Subqueries() {
		inner, view, s := w.sets(q.Inner), valueset.NewView(&valueset.Set{}), &Scratch{}
		for _, row := range w.inner[q.Table] {
			if !q.Inner.MatchIn(row, inner, s) {
				continue
			}
			var cells [][]byte
			for _, name := range q.Select {
				cells = append(cells, row[w.columnAt(name)])
			}
			view.Add(q.Keyer.Append(nil, cells...), 1)
		}
		out = append(out, view)
	}
	return out
}

func (w *world) columnAt(name string) int {
	return slices.IndexFunc(w.table.Columns, func(c Column) bool { return c.Name == name })
}

// clause is a random clause of a table with subqueries down to some levels.
func (w *world) clause(table string, levels, depth int) string {
	g := w.gen
	switch n := g.IntN(12); {
	case depth > 0 && n < 2:
		return "(" + w.clause(table, levels, depth-1) + " AND " + w.clause(table, levels, depth-1) + ")"
	case depth > 0 && n < 4:
		return "(" + w.clause(table, levels, depth-1) + " OR " + w.clause(table, levels, depth-1) + ")"
	case depth > 0 && n < 6:
		return "(NOT " + w.clause(table, levels, depth-1) + ")"
	case depth > 0 && n == 6:
		return "(" + w.clause(table, levels, depth-1) + " IS " + pick(g, []string{"", "NOT "}) + pick(g, []string{"TRUE", "FALSE", "UNKNOWN"}) + ")"
	case depth > 0 && n == 7 && g.IntN(4) == 0: // built once, and compared several times
		if g.IntN(2) == 0 {
			return "(" + w.clause(table, levels, depth-1) + "::int " + pick(g, []string{"BETWEEN 0 AND i2", "BETWEEN SYMMETRIC i2 AND 0", "NOT BETWEEN 1 AND 1"}) + ")"
		}
		return "((" + w.clause(table, levels, depth-1) + ", i2) " + pick(g, []string{"< (true, 7)", "IN ((true, 1), (false, 7))", "<> (false, 0)"}) + ")"
	case depth > 0 && n == 7:
		return "(" + w.clause(table, levels, depth-1) + " " + g.operator() + " " + w.clause(table, levels, depth-1) + ")"
	case n == 8 && g.IntN(2) == 0:
		if w.shared == "" {
			w.shared = g.param("7")
		}
		return "(i4 " + g.operator() + " " + w.shared + ")"
	case levels > 0 && n < 11:
		return w.membership(table, levels)
	}
	leaf := g.leaf()
	full := quoteIdent(table) + "."
	if !strings.HasPrefix(table, "al") { // an alias is in no schema
		full = `"public".` + full
	}
	return strings.NewReplacer(`"public"."rows".`, full, "rows.b2", table+".b2").Replace(leaf)
}

func kindOf(c testColumn) value.Kind {
	k, _ := value.KindOfOID(c.oid)
	return k
}

func hasKey(c testColumn) bool {
	_, err := NewKeyer([]Column{c.column()})
	return err == nil
}

// membership is a random test of a subquery.
func (w *world) membership(table string, levels int) string {
	g := w.gen
	from := pick(g, []string{"in_a", "in_a", "in_b", "in_c", "rows"})
	alias := from
	if g.IntN(3) == 0 || from == table {
		alias = fmt.Sprintf("al%d", levels)
	}
	exists := g.IntN(4) == 0
	var left, selected, pairs []string
	for range 1 + g.IntN(6)/4 + g.IntN(9)/8 {
		c := pick(g, g.columns)
		for !hasKey(c) {
			c = pick(g, g.columns)
		}
		var twins []testColumn
		for _, other := range g.columns {
			if other.sqlType == c.sqlType || sameTexts(kindOf(other), kindOf(c)) {
				twins = append(twins, other)
			}
		}
		left = append(left, pick(g, []string{"", "", table + "."})+quoteIdent(c.name))
		names := []string{"", "", alias + ".", alias + "."}
		if alias == from {
			names[3] = `"public".` + alias + "."
		}
		selected = append(selected, pick(g, names)+quoteIdent(pick(g, twins).name))
		pair := []string{table + "." + quoteIdent(c.name), selected[len(selected)-1]}
		g.Shuffle(2, func(i, j int) { pair[i], pair[j] = pair[j], pair[i] })
		pairs = append(pairs, pair[0]+" = "+pair[1])
	}
	tail := " FROM " + pick(g, []string{"", "public."}) + from
	if alias != from {
		tail += pick(g, []string{" ", " AS "}) + alias
	}
	where := ""
	if g.IntN(3) > 0 {
		where = w.clause(alias, levels-1, g.IntN(3))
	}
	if exists {
		conjuncts := append(pairs, where)[:len(pairs)+min(len(where), 1)]
		g.Shuffle(len(conjuncts), func(i, j int) { conjuncts[i], conjuncts[j] = conjuncts[j], conjuncts[i] })
		return "(" + pick(g, []string{"", "NOT "}) + "EXISTS (SELECT " + pick(g, []string{"1", "*", "NULL", selected[0], ""}) + tail + " WHERE " + strings.Join(conjuncts, " AND ") + "))"
	}
	sql := strings.Join(left, ", ")
	if len(left) > 1 {
		sql = "(" + sql + ")"
	}
	sql += pick(g, []string{" IN ", " NOT IN ", " = ANY ", " <> ALL "}) + "(SELECT " + pick(g, []string{"", "", "DISTINCT "}) + strings.Join(selected, ", ") + pick(g, []string{"", " AS x"}) + tail
	if where != "" {
		sql += " WHERE " + where
	}
	return "(" + sql + "))"
}

func TestSubqueriesAgreeWithPostgres(t *testing.T) {
	seed := seedOf(t)
	conn := connect(t)
	rng := rand.New(rand.NewPCG(seed, 2))
	const rowsPerTable, clausesPerTable = 60, 60
	var w *world
	exec(t, conn, "SET statement_timeout = '3s'") // Postgres may evaluate subqueries in subqueries for every row
	pairs, refused, subqueries := 0, 0, 0
	for i := 0; pairs < *pairsFlag/5; i++ {
		if i%clausesPerTable == 0 {
			exec(t, conn, "DROP TABLE IF EXISTS in_a, in_b, in_c") // they may use types that go with rows
			w = newWorld(t, newOracle(t, conn, rng, rowsPerTable, false))
		}
		w.gen.params, w.shared = nil, ""
		clause := w.clause("rows", 3, 1+rng.IntN(4))
		n, ok := w.check(t, clause)
		if subqueries += n; ok {
			pairs += rowsPerTable
		} else {
			refused++
		}
		if t.Failed() && i > 100 {
			break
		}
	}
	t.Logf("%d pairs agree, with %d subqueries; %d clauses refused by both", pairs, subqueries, refused)
	if refused*4 > pairs/rowsPerTable || subqueries < pairs/rowsPerTable/2 {
		t.Error("too many of the random clauses are refused, or have no subquery")
	}
}

// check compares a clause on all outer rows; false if it was refused.
func (w *world) check(t *testing.T, clause string) (subqueries int, ok bool) {
	t.Helper()
	params := w.gen.params
	p, err := Compile(clause, params, w.table, w.catalog)
	theirs, theirErr := w.truths(t.Context(), clause, params)
	if isTooSlow(theirErr) {
		return 0, false
	}
	if err != nil {
		if theirErr == nil && !slices.ContainsFunc(ownRefusals, func(own string) bool { return strings.Contains(err.Error(), own) }) {
			t.Errorf("only we refuse %s %q: %v", clause, listed(params), err)
		}
		return 0, false
	}
	printed, err := w.truths(t.Context(), p.SQL(), nil)
	if isTooSlow(err) {
		return 0, false
	}
	if err != nil {
		t.Fatalf("Postgres refuses our SQL %s\n of %s %q: %v", p.SQL(), clause, listed(params), err)
	}
	fixed, err := w.truths(t.Context(), p.FixedSQL(), nil)
	if isTooSlow(err) {
		return 0, false
	}
	if err != nil {
		t.Fatalf("Postgres refuses the fixed SQL %s\n of %s %q: %v", p.FixedSQL(), clause, listed(params), err)
	}
	if theirErr == nil && theirs != printed {
		t.Errorf("printed as %s, it is another clause: %s %q", p.SQL(), clause, listed(params))
	}
	s := &Scratch{}
	for form, want := range map[string]byte{"%s": 't', "NOT (%s)": 'f', "(%s) IS UNKNOWN": 'n'} {
		p, err := Compile(fmt.Sprintf(form, clause), params, w.table, w.catalog)
		if err != nil {
			t.Fatal(err)
		}
		sets := w.sets(p)
		for i, row := range w.rows {
			if got := p.MatchIn(row, sets, s); got != (printed[i] == want) {
				t.Errorf("Postgres says %c, and we %t of %s\n params %q row %q", printed[i], got, fmt.Sprintf(form, clause), listed(params), row)
				break
			}
			if want == 't' && printed[i] == 't' && fixed[i] != 't' {
				t.Errorf("%s is not TRUE of a row that %s matches", p.FixedSQL(), clause)
			}
		}
		w.checkMonotone(t, p)
		subqueries = len(p.Subqueries())
		w.checkTouch(t, p)
	}
	return subqueries, true
}

func isTooSlow(err error) bool {
	const canceled = "57014"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == canceled
}

// checkMonotone: FALSE instead of unknown, and the reverse, change nothing where the subquery says so.
func (w *world) checkMonotone(t *testing.T, p *Predicate) {
	t.Helper()
	width := len(w.table.Columns)
	for range 20 {
		row := append(slices.Clone(pick(w.gen, w.rows)[:width]), make([][]byte, len(p.Subqueries()))...)
		other := slices.Clone(row)
		for i, q := range p.Subqueries() {
			texts := [][]byte{[]byte("t"), []byte("f"), nil}
			row[width+i] = pick(w.gen, texts)
			other[width+i] = row[width+i]
			if q.Monotone && string(row[width+i]) != "t" {
				other[width+i] = pick(w.gen, texts[1:])
			}
		}
		if (p.root.eval(row) == isTrue) != (p.root.eval(other) == isTrue) {
			t.Errorf("%s has a subquery that is not monotone", p.SQL())
			return
		}
	}
}

// checkTouch compares Touch with the keys of the rows.
func (w *world) checkTouch(t *testing.T, p *Predicate) {
	t.Helper()
	for _, q := range p.Subqueries() {
		wanted, keys := map[string]bool{}, []string(nil)
		for range w.gen.IntN(6) {
			key := string(q.AppendKey(nil, pick(w.gen, w.rows)))
			if w.gen.IntN(2) == 0 { // a value that the left side's type need not hold
				row, cells := pick(w.gen, w.rows), [][]byte(nil)
				for _, name := range q.Select {
					cells = append(cells, row[w.columnAt(name)])
				}
				key = string(q.Keyer.Append(nil, cells...))
			}
			keys = append(keys, key)
			wanted[key] = !valueset.HasNull(key)
		}
		sql, err := touchSQL(q, keys...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.truths(t.Context(), sql, nil)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		for i, row := range w.rows {
			if want := wanted[string(q.AppendKey(nil, row))]; (got[i] == 't') != want {
				t.Errorf("%s is %c of %q, want %t", sql, got[i], row, want)
				return
			}
		}
	}
}

func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d; again with: go test ./internal/predicate -run %s -predicate.seed=%d", seed, t.Name(), seed)
	return seed
}
