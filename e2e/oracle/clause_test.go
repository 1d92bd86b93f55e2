package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/client"
)

// Kind is how exact a shape is promised to be.
type Kind int

// The kinds: without subqueries, with some, and with some inside of some, whose
// shapes are exact only when everything is at rest.
const (
	Plain Kind = iota
	Outer
	Nested
)

func (k Kind) String() string { return []string{"plain", "outer", "nested"}[k] }

// wish is a shape to ask for, and the shapes that its subqueries select from.
type wish struct {
	kind  Kind
	def   client.Definition
	inner []wish
}

// clauses draws shapes.
type clauses struct {
	rng    *rand.Rand
	schema *Schema
	again  bool // subqueries like to select from what others select from
	used   map[*Table][]selected
}

// selected is what a subquery selects from, but for the columns.
type selected struct {
	where  string
	depth  int
	levels int
	kind   Kind
	inner  []wish
}

// shape draws a shape with at most so many levels of subqueries.
func (g *clauses) shape(levels int) wish {
	table := g.rng.IntN(len(g.schema.Tables))
	t := g.schema.Tables[table]
	w := wish{def: client.Definition{Table: t.SQL()}}
	switch {
	case levels > 0:
		var depth int
		w.def.Where, depth, w.inner = g.where(t, 2, levels)
		w.kind = Kind(min(depth, int(Nested)))
	case g.rng.IntN(5) > 0:
		w.def.Where, _, _ = g.where(t, 2, 0)
	}
	if len(t.Key) > 0 && g.rng.IntN(3) == 0 {
		w.def.Columns = g.columns(t)
	}
	return w
}

// columns draws some of the columns, the key's among them.
func (g *clauses) columns(t *Table) (out []string) {
	key := map[int]bool{}
	for _, k := range t.Key {
		key[k] = true
	}
	for i, c := range t.Columns {
		if key[i] || g.rng.IntN(2) == 0 {
			out = append(out, c.Name)
		}
	}
	return out
}

// where draws a clause, with a subquery if levels > 0. depth is that of its subqueries.
func (g *clauses) where(t *Table, size, levels int) (sql string, depth int, inner []wish) {
	leaf := func(in int) string {
		if in > 0 && g.rng.IntN(3) > 0 {
			sql, d, w := g.in(t, in)
			if sql != "" {
				depth, inner = max(depth, d), append(inner, w)
				return sql
			}
		}
		return g.plain(t)
	}
	var grow func(size int) string
	grow = func(size int) string {
		if size == 0 {
			return leaf(levels)
		}
		switch g.rng.IntN(6) {
		case 0:
			return "NOT (" + grow(size-1) + ")"
		case 1:
			return "(" + grow(size-1) + " AND " + grow(size-1) + ")"
		case 2:
			return "(" + grow(size-1) + " OR " + grow(size-1) + ")"
		}
		return leaf(levels)
	}
	for range 20 {
		depth, inner = 0, nil
		sql = grow(size)
		if (levels > 0) == (depth > 0) {
			break
		}
	}
	return sql, depth, inner
}

// links are pairs of roles that are of one type.
var links = [][]Role{{RoleProject}, {RoleTask}, {RoleCode}, {RolePerson}, {RoleNumber}, {RoleProject, RolePerson}, {RoleCode, RolePerson}}

// in draws a membership test.
func (g *clauses) in(t *Table, levels int) (sql string, depth int, inner wish) {
	for range 20 {
		link := links[g.rng.IntN(len(links))]
		from := g.schema.Tables[g.rng.IntN(len(g.schema.Tables))]
		left, leftOK := columnsOf(t, link)
		if g.isWhole(RoleCode) && g.rng.IntN(4) == 0 { // integers of two widths, or a domain over one
			left, leftOK = columnsOf(t, []Role{RoleNumber})
			link = []Role{RoleCode}
		}
		right, rightOK := columnsOf(from, link)
		if !leftOK || !rightOK || len(from.Key) == 0 && g.rng.IntN(3) > 0 {
			continue
		}
		inner = wish{def: client.Definition{Table: from.SQL(), Columns: inTableOrder(from, link)}}
		var where string
		depth = 1
		known := slices.DeleteFunc(slices.Clone(g.used[from]), func(u selected) bool { return u.levels > levels })
		switch {
		case g.again && len(known) > 0 && g.rng.IntN(2) == 0:
			u := known[g.rng.IntN(len(known))]
			where, depth, inner.kind, inner.inner = u.where, u.depth, u.kind, u.inner
		case levels > 1 && g.rng.IntN(2) == 0:
			var d int
			where, d, inner.inner = g.where(from, 1, levels-1)
			depth += d
			inner.kind = Kind(min(d, int(Nested)))
		case g.rng.IntN(4) > 0:
			where, _, _ = g.where(from, 1, 0)
		}
		inner.def.Where = where
		if g.again {
			g.used[from] = append(g.used[from], selected{where, depth, levels, inner.kind, inner.inner})
		}
		if where != "" {
			where = " WHERE " + where
		}
		not := []string{"", "", "NOT "}[g.rng.IntN(3)]
		l := strings.Join(left, ", ")
		if len(left) > 1 {
			l = "(" + l + ")"
		}
		if g.rng.IntN(4) == 0 {
			test := "= ANY"
			if not != "" {
				test = "<> ALL"
			}
			return fmt.Sprintf("%s %s (SELECT %s FROM %s%s)", l, test, strings.Join(right, ", "), from.SQL(), where), depth, inner
		}
		return fmt.Sprintf("%s %sIN (SELECT %s FROM %s%s)", l, not, strings.Join(right, ", "), from.SQL(), where), depth, inner
	}
	return "", 0, wish{}
}

func columnsOf(t *Table, roles []Role) (out []string, ok bool) {
	for _, r := range roles {
		c := t.column(r)
		if c == "" {
			return nil, false
		}
		out = append(out, c)
	}
	return out, true
}

// inTableOrder names the key's columns and the selected ones, as the shape of
// a subquery has them.
func inTableOrder(t *Table, roles []Role) (out []string) {
	wanted := map[string]bool{}
	for _, k := range t.Key {
		wanted[pg.Ident(t.Columns[k].Name)] = true
	}
	selected, _ := columnsOf(t, roles)
	for _, c := range selected {
		wanted[c] = true
	}
	if len(t.Key) == 0 {
		return nil
	}
	for _, c := range t.Columns {
		if wanted[pg.Ident(c.Name)] {
			out = append(out, c.Name)
		}
	}
	return out
}

// isWhole tells whether columns of the role are integers.
func (g *clauses) isWhole(r Role) bool {
	return slices.Contains([]string{"int", "bigint", "public.whole"}, g.schema.domain(r).Type)
}

// plain draws a condition without subqueries.
func (g *clauses) plain(t *Table) string {
	if g.rng.IntN(5) == 0 {
		if sql := g.composed(t); sql != "" {
			return sql
		}
	}
	c := t.Columns[g.rng.IntN(len(t.Columns))]
	name := pg.Ident(c.Name)
	if g.rng.IntN(6) == 0 {
		return name + []string{" IS NULL", " IS NOT NULL"}[g.rng.IntN(2)]
	}
	switch c.Role {
	case RoleFlag:
		return []string{name, "NOT " + name, name + " IS NOT TRUE"}[g.rng.IntN(3)]
	case RoleCode, RolePerson:
		d := g.schema.domain(c.Role)
		v := func() string { return d.Values[g.rng.IntN(len(d.Values))] }
		forms := []string{
			name + " = " + v(), name + " <> " + v(), name + " IN (" + v() + ", " + v() + ")", name + " IS DISTINCT FROM " + v(),
			"CASE " + name + " WHEN " + v() + " THEN TRUE WHEN " + v() + " THEN NULL ELSE FALSE END",
			"coalesce(" + name + ", " + v() + ") = " + v(),
		}
		if d.Type != "varchar(8)" {
			forms = append(forms, "nullif("+name+", "+v()+") IS NULL")
		}
		if strings.HasSuffix(d.Type, "range") {
			forms = append(forms, name+" @> "+v(), name+" <@ "+v(), name+" && "+v())
		}
		if g.isWhole(c.Role) {
			element, ranges := name, "int4range"
			switch d.Type {
			case "bigint":
				ranges = "int8range"
			case "public.whole": // for Postgres it is not one of the bounds' type
				element += "::int"
			}
			forms = append(forms, name+" IN (1, 3000000000)", element+" <@ '[1,3)'::"+ranges)
		}
		return forms[g.rng.IntN(len(forms))]
	case RoleText, RoleLarge:
		forms := []string{
			name + " LIKE '%1%'", name + " > 'b'", name + " ~ '^[a-m].*[0-9]$'", name + " !~* 'A|1{2}'", "left(" + name + ", 1) IN ('a', 'b', 'x')",
			"starts_with(" + name + ", 'b')", "length(" + name + ") % 2 = 0", "CASE WHEN " + name + " LIKE '%1%' THEN " + name + " > 'c' ELSE NULL END", "split_part(" + name + ", ' ', 1) <> 'a'",
			"upper(substr(" + name + ", 1, 2)) = 'B1'", name + " = ANY ('{a,b,\"c d\"}')",
		}
		return forms[g.rng.IntN(len(forms))]
	default:
		n := g.rng.IntN(10)
		forms := []string{
			fmt.Sprintf("%s = %d", name, n), fmt.Sprintf("%s > %d", name, n),
			fmt.Sprintf("%s BETWEEN %d AND %d", name, n-3, n+4), fmt.Sprintf("%s NOT IN (%d, %d)", name, n, n+1),
			fmt.Sprintf("%s IN (%d, 3000000000)", name, n), fmt.Sprintf("abs(%s - 5) <= %d", name, n), fmt.Sprintf("%s <@ '[%d,%d]'::int4range", name, n-3, n+4),
			fmt.Sprintf("CASE WHEN %s > %d THEN %s %% 2 = 0 WHEN %s = %d THEN NULL ELSE TRUE END", name, n, name, name, n-1),
			fmt.Sprintf("%s = ANY (ARRAY[%d, %d]::bigint[])", name, n, n+2), fmt.Sprintf("round(%s / 3.0) = %d", name, n/3),
		}
		return forms[g.rng.IntN(len(forms))]
	}
}

// composed draws a condition on two columns; none if the table has not got them.
func (g *clauses) composed(t *Table) string {
	code, number := t.column(RoleCode), t.column(RoleNumber)
	if code == "" || number == "" {
		return ""
	}
	d := g.schema.domain(RoleCode)
	v := func() string { return d.Values[g.rng.IntN(len(d.Values))] }
	n := g.rng.IntN(10)
	forms := []string{
		fmt.Sprintf("(%s, %s) IN ((%s, %d), (%s, %d))", code, number, v(), n, v(), n+1),
		fmt.Sprintf("(%s, %s) = (%d, %s)", number, code, n, v()),
		fmt.Sprintf("(%s, %s) NOT IN ((%s, %d), (NULL, %d))", code, number, v(), n, n+2),
		fmt.Sprintf("CASE WHEN %s = %s THEN %s > %d ELSE %s < %d END", code, v(), number, n, number, n),
		fmt.Sprintf("(%s = %s) IS NOT DISTINCT FROM (%s = %d)", code, v(), number, n),
	}
	return forms[g.rng.IntN(len(forms))]
}

func (s *Schema) domain(r Role) Domain {
	if r == RoleCode {
		return s.Code
	}
	return s.Person
}
