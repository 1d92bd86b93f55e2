package predicate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/valueset"
)

// touchTable is a table in Postgres whose subqueries' left sides are tried.
func touchTable(t *testing.T, create string, columns ...Column) (truths func(sql string) string, compile func(where string) *Subquery) {
	t.Helper()
	conn := connect(t)
	exec(t, conn, create)
	table := Table{Schema: "public", Name: "outer_table", Columns: columns}
	catalog := func(schema, name string) (*Table, error) { return &table, nil }
	truths = func(sql string) string {
		rows := exec(t, conn, sql)
		var out []string
		for _, r := range rows {
			out = append(out, string(r[0]))
		}
		return strings.Join(out, "\n")
	}
	compile = func(where string) *Subquery {
		p, err := Compile(where, nil, table, catalog)
		if err != nil {
			t.Fatal(err)
		}
		return p.Subqueries()[0]
	}
	return truths, compile
}

func key(parts ...string) string {
	var out []byte
	for _, p := range parts {
		out = valueset.AppendComponent(out, []byte(p))
	}
	return string(out)
}

func touchSQL(q *Subquery, keys ...string) (string, error) {
	touch := q.NewTouch()
	for _, k := range keys {
		if err := touch.Add([]byte(k)); err != nil {
			return "", err
		}
	}
	return touch.SQL(), nil
}

// Text is looked up by its bytes, whatever its column's collation finds equal, and whatever the two collations are.
func TestTouchSQLUnderAnyCollation(t *testing.T) {
	query, compile := touchTable(t, `
		CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE TABLE outer_table (id int, loose text COLLATE nocase, plain text, german text COLLATE "de-x-icu", fixed char(6));
		INSERT INTO outer_table VALUES (1, 'abc', 'ABC', 'Abc', 'abc'), (2, 'ABC', 'abc', 'abc', 'ABC '), (3, NULL, 'NULL', '{"\,', ''), (4, '', '', 'it''s', NULL)`,
		Column{Name: "id", TypeOID: 23}, Column{Name: "loose", TypeOID: 25, NonDeterministic: true}, Column{Name: "plain", TypeOID: 25},
		Column{Name: "german", TypeOID: 25}, Column{Name: "fixed", TypeOID: 1042, TypeMod: 10})
	for _, test := range []struct {
		left string
		keys []string
		want string
	}{
		{"loose", []string{key("abc")}, "1"},
		{"loose", []string{key("ABC"), key("abc")}, "1 2"},
		{"loose", []string{key(""), string(valueset.AppendComponent(nil, nil))}, "4"},
		{"plain", []string{key("NULL")}, "3"},
		{"german", []string{key(`{"\,`), key("it's"), key("'); DROP TABLE outer_table; --")}, "3 4"},
		{"fixed", []string{key("abc"), key("")}, "1 3"},
		{"loose, german", []string{key("abc", "Abc"), key("abc", "abc")}, "1"},
		{"loose, fixed, id", []string{key("ABC", "ABC", "2"), key("abc", "ABC", "1")}, "2"},
		{"plain, german", nil, ""},
		{"plain, german", []string{key("", "it's"), key("NULL", `{"\,`), key("abc", "{")}, "3 4"},
	} {
		q := compile(fmt.Sprintf("(%[1]s) in (select %[1]s from outer_table)", test.left))
		sql, err := touchSQL(q, test.keys...)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := strings.ReplaceAll(query("SELECT id FROM outer_table WHERE "+sql+" ORDER BY id"), "\n", " "); got != test.want {
			t.Errorf("%s: rows %q, want %q", sql, got, test.want)
		}
	}
	// The subquery's own SQL stands beside columns of two collations, of which one is not deterministic.
	for _, test := range []struct{ left, selected, want string }{{"loose", "plain", "1 4"}, {"german", "plain", "2"}, {"fixed", "fixed", "2 3"}} {
		q := compile(fmt.Sprintf("%s in (select %s from outer_table where id > 1)", test.left, test.selected))
		sql := "SELECT id FROM outer_table WHERE " + q.sql + " ORDER BY id"
		if got := strings.ReplaceAll(query(sql), "\n", " "); got != test.want {
			t.Errorf("%s: rows %q, want %q", sql, got, test.want)
		}
	}
}

func TestTouchSQLIsServedByAnIndex(t *testing.T) {
	query, compile := touchTable(t, `
		CREATE COLLATION nocase2 (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE TABLE outer_table (id bigint, name varchar(20), loose text COLLATE nocase2);
		INSERT INTO outer_table SELECT i, 'name ' || i, 'text ' || i FROM generate_series(1, 5000) i;
		CREATE INDEX ON outer_table (id); CREATE INDEX ON outer_table (name); CREATE INDEX ON outer_table (loose); ANALYZE outer_table`,
		Column{Name: "id", TypeOID: 20}, Column{Name: "name", TypeOID: 1043}, Column{Name: "loose", TypeOID: 25, NonDeterministic: true})
	var conditions []string
	for left, keys := range map[string][]string{
		"id": {key("7"), key("8")}, "name": {key("name 9")}, "loose": {key("text 5")}, "id, name": {key("7", "name 7"), key("8", "name 7")},
	} {
		sql, err := touchSQL(compile(fmt.Sprintf("(%[1]s) in (select %[1]s from outer_table)", left)), keys...)
		if err != nil {
			t.Fatal(err)
		}
		conditions = append(conditions, sql)
	}
	for _, sql := range append(conditions, strings.Join(conditions, " OR ")) {
		if plan := query("EXPLAIN SELECT * FROM outer_table WHERE " + sql); strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "Index") {
			t.Errorf("%s\n%s", sql, plan)
		}
	}
	if got := query("SELECT id FROM outer_table WHERE " + strings.Join(conditions, " OR ") + " ORDER BY id"); got != "5\n7\n8\n9" {
		t.Errorf("rows %q", got)
	}
}

func TestTouchSQLRefusesWhatIsNoKey(t *testing.T) {
	q := compileIn(t, "(i4, i2) in (select who, \"Level\" from \"Other\".\"People\")").Subqueries()[0]
	for _, bad := range []string{"", "\x05a", key("1"), key("1", "2", "3"), "\xff"} {
		if sql, err := touchSQL(q, key("1", "2"), bad); !errors.Is(err, valueset.ErrKey) {
			t.Errorf("%q: %s, %v", bad, sql, err)
		}
	}
}
