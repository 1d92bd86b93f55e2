package oracle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
)

// Schema is a random chain of tables: projects, tasks, comments, a junction
// table with a composite key, one with large values, and one without a key.
type Schema struct {
	Name   string // of the Postgres schema
	Code   Domain // the type of columns that tables have in common
	Person Domain // another one
	Tables []*Table
}

// The tables' places in Schema.Tables.
const (
	projects = iota
	tasks
	comments
	members
	wide
	notes
)

// Table is a table of the schema.
type Table struct {
	Schema  string
	Name    string
	Columns []Column
	Key     []int // places of the primary key's columns; none without one
	Foreign string
}

// Role is what a column is for; columns of one role have one type.
type Role int

// The roles.
const (
	RoleID Role = iota
	RoleProject
	RoleTask
	RoleCode
	RolePerson
	RoleFlag
	RoleNumber
	RoleText
	RoleLarge
	RoleExtra // of a column that was added
)

// Column is a column of a table.
type Column struct {
	Name string
	Type string
	Role Role
}

// Domain is a type with a few values of it, as SQL literals. Some are equal
// and are written differently. Create makes the type, if it is not built in.
type Domain struct {
	Type   string
	Values []string
	Create string
}

var domains = []Domain{
	{"int", []string{"1", "2", "3", "-4", "2147483647"}, ""},
	{"bigint", []string{"1", "2", "3", "9007199254740993", "-1"}, ""},
	{"text", []string{"'a'", "'b'", "''", "'NULL'", "'Ä \"x\" ''q'''"}, ""},
	{"varchar(8)", []string{"'a'", "'a '", "'A'", "''", "'tab\tnul'"}, ""},
	{"char(4)", []string{"'a'", "'a  '", "'b'", "''", "'abcd'"}, ""},
	{"numeric", []string{"1", "1.0", "1.00", "-2.50", "'NaN'", "12345678901234567890.5"}, ""},
	{"date", []string{"'2024-01-01'", "'2024-02-29'", "'infinity'", "'0044-03-15 BC'"}, ""},
	{"uuid", []string{"'00000000-0000-0000-0000-000000000001'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "'a0eebc999c0b4ef8bb6d6bb9bd380a11'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"}, ""},
	{"timestamptz", []string{"'2024-01-01 00:00+00'", "'2024-01-01 01:00+01'", "'2024-06-01 12:34:56.789+00'", "'infinity'"}, ""},
	{"bytea", []string{`'\x'`, `'\x00ff'`, `'\x00FF'`, `'abc'`, `'\x616263'`}, ""},
	{"inet", []string{"'10.0.0.1'", "'10.0.0.1/32'", "'10.0.0.1/8'", "'::1'", "'2001:DB8::1'"}, ""},
	{"cidr", []string{"'10.0.0.0/8'", "'10.0.0.1/32'", "'::/0'", "'2001:db8::/32'"}, ""},
	{"bit varying(5)", []string{"'1'", "'10'", "'00000'", "X'1'", "''"}, ""},
	{"oid", []string{"1", "'4294967295'", "2", "3"}, ""},
	{"name", []string{"'a'", "'A'", "'NULL'", "''"}, ""},
	{"int4range", []string{"'[1,5)'", "'[1,4]'", "'empty'", "'(,3)'", "'(4,4)'"}, ""},
	{"numrange", []string{"'[1,5)'", "'[1.0,5.00)'", "'empty'", "'[1.1,]'", "'(1,1)'"}, ""},
	{"tstzrange", []string{"'[2024-01-01 00:00+00,2024-02-01 00:00+00)'", "'[2024-01-01 01:00+01,2024-02-01 00:00+00)'", "'(,infinity]'", "'empty'"}, ""},
	{"public.mood", []string{"'ok'", "'sad'", `'it''s "fine"'`}, `CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'it''s "fine"')`},
	{"public.whole", []string{"1", "2", "3", "-4"}, "CREATE DOMAIN public.whole AS integer CHECK (value > -10)"},
}

// names are those of a tidy database and of a hostile one.
var names = [][]string{
	{"public", "projects", "tasks", "comments", "members", "wide", "notes", "code", "person", "flag", "project_id", "task_id"},
	{"Odd Schema", `ta"ble`, "select;", "Ünï.cöde", "*", "sb.%s.>", "no$tes", `co"de`, "per son", "FLAG", "order", "user"},
}

func newSchema(rng *rand.Rand) *Schema {
	n := names[rng.IntN(len(names))]
	pick := rng.Perm(len(domains))
	s := &Schema{Name: n[0], Code: domains[pick[0]], Person: domains[pick[1]]}
	code := Column{n[7], s.Code.Type, RoleCode}
	person := Column{n[8], s.Person.Type, RolePerson}
	flag := Column{n[9], "boolean", RoleFlag}
	id := Column{"id", "int", RoleID}
	project := Column{n[10], "int", RoleProject}
	task := Column{n[11], "int", RoleTask}
	number := Column{"number", "int", RoleNumber}
	text := Column{"body", "text", RoleText}
	large := Column{"large", "text", RoleLarge}
	asID := func(role Role) Column { return Column{"id", "int", role} }
	cascade := []string{"CASCADE", "SET NULL"}[rng.IntN(2)]
	reference := func(column string, t *Table, onDelete string) string {
		return fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s ON DELETE %s ON UPDATE CASCADE", pg.Ident(column), t.SQL(), onDelete)
	}
	add := func(name string, key int, columns ...Column) *Table {
		rng.Shuffle(len(columns)-key, func(i, j int) { columns[key+i], columns[key+j] = columns[key+j], columns[key+i] })
		t := &Table{Schema: s.Name, Name: name, Columns: columns}
		for i := range key {
			t.Key = append(t.Key, i)
		}
		if key > 0 && rng.IntN(2) == 0 { // a key that does not come first
			slices.Reverse(t.Columns)
			for i := range t.Key {
				t.Key[i] = len(columns) - key + i
			}
		}
		s.Tables = append(s.Tables, t)
		return t
	}
	p := add(n[1], 1, asID(RoleProject), code, person, flag, number, text)
	k := add(n[2], 1, asID(RoleTask), project, code, person, flag, number, text)
	k.Foreign = reference(n[10], p, cascade)
	c := add(n[3], 1, id, task, code, person, flag, number, text)
	c.Foreign = reference(n[11], k, "CASCADE")
	m := add(n[4], 2, project, person, code, flag)
	if rng.IntN(2) == 0 {
		m.Foreign = reference(n[10], p, "CASCADE")
	}
	add(n[5], 1, id, code, flag, large, number)
	add(n[6], 0, person, number, code)
	return s
}

// SQL is the table's name in SQL.
func (t *Table) SQL() string { return pg.Qualified(t.Schema, t.Name) }

// column is the first column of a role, quoted.
func (t *Table) column(role Role) string {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Role == role })
	if i < 0 {
		return ""
	}
	return pg.Ident(t.Columns[i].Name)
}

// create is the DDL of the tables; a mirror of them has no constraints and
// room for the number of a version.
func (s *Schema) create(mirror bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE SCHEMA IF NOT EXISTS %s;\n", pg.Ident(s.Name))
	for _, d := range []Domain{s.Code, s.Person} {
		if d.Create != "" { // there may be an earlier schema's
			fmt.Fprintf(&b, "DO $$ BEGIN %s; EXCEPTION WHEN duplicate_object THEN NULL; END $$;\n", d.Create)
		}
	}
	for _, t := range s.Tables {
		b.WriteString(t.create(mirror))
	}
	return b.String()
}

func (t *Table) create(mirror bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", t.SQL())
	for i, c := range t.Columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", pg.Ident(c.Name), c.Type)
	}
	if mirror {
		fmt.Fprintf(&b, ", %s int PRIMARY KEY);\n", versionColumn)
		return b.String()
	}
	if len(t.Key) > 0 {
		b.WriteString(", PRIMARY KEY (")
		for i, k := range t.Key {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(pg.Ident(t.Columns[k].Name))
		}
		b.WriteString(")")
	}
	if t.Foreign != "" {
		b.WriteString(", " + t.Foreign)
	}
	b.WriteString(");\n")
	switch {
	case len(t.Key) == 0: // without it, nobody could follow the table
		fmt.Fprintf(&b, "ALTER TABLE %s REPLICA IDENTITY FULL;\n", t.SQL())
	case t.column(RoleLarge) != "":
		fmt.Fprintf(&b, "ALTER TABLE %s ALTER %s SET STORAGE EXTERNAL;\n", t.SQL(), t.column(RoleLarge))
	}
	return b.String()
}

// versionColumn is not a name that the schema has.
const versionColumn = `"the version"`
