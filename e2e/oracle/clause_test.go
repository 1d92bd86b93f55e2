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

// plain draws a condition without subqueries.
func (g *clauses) plain(t *Table) string {
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
		return []string{name + " = " + v(), name + " <> " + v(), name + " IN (" + v() + ", " + v() + ")"}[g.rng.IntN(3)]
	case RoleText, RoleLarge:
		return []string{name + " LIKE '%1%'", name + " > 'b'"}[g.rng.IntN(2)]
	default:
		n := g.rng.IntN(10)
		return []string{
			fmt.Sprintf("%s = %d", name, n), fmt.Sprintf("%s > %d", name, n),
			fmt.Sprintf("%s BETWEEN %d AND %d", name, n-3, n+4), fmt.Sprintf("%s NOT IN (%d, %d)", name, n, n+1),
		}[g.rng.IntN(4)]
	}
}

func (s *Schema) domain(r Role) Domain {
	if r == RoleCode {
		return s.Code
	}
	return s.Person
}
