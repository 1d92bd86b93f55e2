package predicate

import (
	"fmt"
	"strings"
	"testing"
)

// told is a term in one line: its truth's first letter, and its parts.
func told(t Term) string {
	if t.Join == "" {
		out := string(t.Truth[0]) + ":" + t.SQL
		if t.Subquery >= 0 {
			out += fmt.Sprintf("#%d", t.Subquery)
		}
		return out
	}
	var parts []string
	for _, a := range t.Args {
		parts = append(parts, told(a))
	}
	return fmt.Sprintf("%c:%s(%s)", t.Truth[0], t.Join, strings.Join(parts, ", "))
}

func TestExplainSaysWhichTermDecided(t *testing.T) {
	for _, c := range []struct {
		where   string
		row     map[string]string
		members []Truth
		want    string
	}{
		{"", nil, nil, "t:true"},
		{"i4 = 7", map[string]string{"i4": "8"}, nil, `f:"i4" = '7'::integer`},
		{"i4 = 7", nil, nil, `u:"i4" = '7'::integer`},
		{"flag AND (i4 = 1 OR i4 = 2)", map[string]string{"flag": "t", "i4": "2"}, nil, `t:AND(t:"flag", t:OR(f:"i4" = '1'::integer, t:"i4" = '2'::integer))`},
		{"NOT (flag IS TRUE)", map[string]string{"flag": "t"}, nil, `f:NOT(t:IS TRUE(t:"flag"))`},
		{"flag IS NOT FALSE", nil, nil, `t:IS NOT FALSE(u:"flag")`},
		{"flag AND id IN (SELECT pid FROM projects)", map[string]string{"flag": "t", "id": "1"}, []Truth{False}, `f:AND(t:"flag", f:"id" IN (SELECT "public"."projects"."pid" FROM "public"."projects")#0)`},
		{"id NOT IN (SELECT pid FROM projects)", map[string]string{"id": "1"}, []Truth{Unknown}, `u:NOT(u:"id" IN (SELECT "public"."projects"."pid" FROM "public"."projects")#0)`},
	} {
		table := sample()
		row := make([][]byte, len(table.Columns))
		for i, column := range table.Columns {
			if v, ok := c.row[column.Name]; ok {
				row[i] = []byte(v)
			}
		}
		got := compileIn(t, c.where).Explain(row, c.members)
		if told(got) != c.want {
			t.Errorf("%q: %s, want %s", c.where, told(got), c.want)
		}
	}
}

// TestExplainAgreesWithMatch also has Postgres answer the questions about subqueries, as the
// control plane does.
func TestExplainAgreesWithMatch(t *testing.T) {
	conn := connect(t)
	exec(t, conn, `CREATE TABLE items (id bigint, i4 int, t text, code char(6));
CREATE TABLE projects (pid bigint, owner int, title text, code char(6), active boolean);
INSERT INTO items VALUES (1, 7, 'a', 'x'), (2, 8, 'b''\c', 'y  '), (3, NULL, NULL, NULL), (4, 9, 'é', 'z'), (5000000000, 9, 'z', 'z');
INSERT INTO projects VALUES (1, 7, 'a', 'x', true), (2, 8, 'b''\c', 'y', false), (5, NULL, 'é', NULL, true)`)
	outer := Table{Schema: "public", Name: "items", Columns: []Column{{Name: "id", TypeOID: 20}, {Name: "i4", TypeOID: 23}, {Name: "t", TypeOID: 25}, {Name: "code", TypeOID: 1042, TypeMod: 10}}}
	inner := Table{Schema: "public", Name: "projects", Columns: []Column{
		{Name: "pid", TypeOID: 20}, {Name: "owner", TypeOID: 23}, {Name: "title", TypeOID: 25}, {Name: "code", TypeOID: 1042, TypeMod: 10}, {Name: "active", TypeOID: 16},
	}}
	rows := exec(t, conn, "SELECT id, i4, t, code FROM items ORDER BY id")
	for _, where := range []string{
		"id IN (SELECT pid FROM projects WHERE active)", "id NOT IN (SELECT pid FROM projects WHERE active)", "i4 NOT IN (SELECT owner FROM projects)",
		"i4 IN (SELECT owner FROM projects) IS UNKNOWN", "t IN (SELECT title FROM projects)", "code IN (SELECT code FROM projects)", "code NOT IN (SELECT code FROM projects WHERE pid < 5)",
		"id IN (SELECT owner FROM projects)", "i4 NOT IN (SELECT pid FROM projects)", "(id, i4) IN (SELECT pid, owner FROM projects WHERE active)", "(id, i4) NOT IN (SELECT pid, owner FROM projects)", "id NOT IN (SELECT pid FROM projects WHERE pid > 9)",
		"EXISTS (SELECT FROM projects p WHERE p.pid = items.id AND p.active) OR t = 'é'",
	} {
		p, err := Compile(where, nil, outer, func(string, string) (*Table, error) { return &inner, nil })
		if err != nil {
			t.Fatal(err)
		}
		want := exec(t, conn, "SELECT coalesce("+p.SQL()+", false) FROM items ORDER BY id")
		for i, row := range rows {
			var members []Truth
			for _, q := range p.Subqueries() {
				answer := exec(t, conn, q.TestSQL(row))[0][0]
				switch {
				case answer == nil:
					members = append(members, Unknown)
				case string(answer) == "t":
					members = append(members, True)
				default:
					members = append(members, False)
				}
				for _, c := range exec(t, conn, q.CandidatesSQL(row, []string{"pid", "title"}, 10, 1000)) {
					if len(c) != 2 {
						t.Errorf("%s: a candidate is %q", where, c)
					}
				}
			}
			if got := p.Explain(row, members); (got.Truth == True) != (string(want[i][0]) == "t") {
				t.Errorf("%s of row %d: %s, Postgres says %s", where, i+1, told(got), want[i][0])
			}
		}
	}
}
