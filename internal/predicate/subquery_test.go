package predicate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/valueset"
)

// sampleCatalog has three tables: projects and people, whose columns have the names and types of items' where they
// agree, and items itself.
func sampleCatalog(schema, name string) (*Table, error) {
	items := sample()
	switch schema + "." + name {
	case "public.items":
		return &items, nil
	case "public.projects":
		return &Table{Schema: "public", Name: "projects", Columns: []Column{
			{Name: "pid", TypeOID: 20},
			{Name: "owner", TypeOID: 23},
			{Name: "active", TypeOID: 16},
			{Name: "title", TypeOID: 25},
			{Name: "rate", TypeOID: 701},
			{Name: "mood", TypeOID: 99999},
			{Name: "doc", TypeOID: 3802},
			{Name: "code", TypeOID: 1042, TypeMod: 14},
		}}, nil
	case "Other.People":
		return &Table{Schema: "Other", Name: "People", Columns: []Column{{Name: "who", TypeOID: 23}, {Name: "Level", TypeOID: 21}}}, nil
	case "public.broken":
		return nil, errCatalog
	}
	return nil, nil
}

var errCatalog = errors.New("the catalog cannot be read")

func compileIn(tb testing.TB, where string, params ...string) *Predicate {
	tb.Helper()
	p, err := Compile(where, given(params...), sample(), sampleCatalog)
	if err != nil {
		tb.Fatalf("Compile(%q): %v", where, err)
	}
	return p
}

func TestSubqueriesPrintAsSQL(t *testing.T) {
	for _, test := range []struct {
		where  string
		params []string
		sql    string
	}{
		{"id in (select pid from projects)", nil, `"id" IN (SELECT "public"."projects"."pid" FROM "public"."projects")`},
		{"id in (select pid from projects where true)", nil, `"id" IN (SELECT "public"."projects"."pid" FROM "public"."projects")`},
		{
			"items.id not IN (SELECT projects.pid FROM public.projects WHERE public.projects.active)", nil,
			`NOT ("id" IN (SELECT "public"."projects"."pid" FROM "public"."projects" WHERE "public"."projects"."active"))`,
		},
		{
			`flag and (i4, i2) in (select who, "Level" from "Other"."People" where who > $1)`,
			[]string{"7"},
			`("flag" AND ("i4", "i2") IN (SELECT "Other"."People"."who", "Other"."People"."Level" FROM "Other"."People" WHERE "Other"."People"."who" > '7'::integer))`,
		},
		{"id = any (select distinct p.pid as x from projects p where p.active)", nil, `"id" IN (SELECT "public"."projects"."pid" FROM "public"."projects" WHERE "public"."projects"."active")`},
		{"id <> all (select pid from projects)", nil, `NOT ("id" IN (SELECT "public"."projects"."pid" FROM "public"."projects"))`},
		{
			"exists (select * from projects p where (p.active and p.pid = items.id) and i4 = p.owner and p.title > $1)",
			[]string{"x"},
			`(("id", "i4") IN (SELECT "public"."projects"."pid", "public"."projects"."owner" FROM "public"."projects" WHERE ` +
				`("public"."projects"."active" AND "public"."projects"."title" COLLATE "C" > 'x'::text))) IS TRUE`,
		},
		{
			"not exists (select 1 from items x where x.i4 = items.i4 and exists (select from items where items.id = x.id))", nil,
			`NOT (("i4" IN (SELECT "public"."items"."i4" FROM "public"."items" WHERE ("public"."items"."id" IN ` +
				`(SELECT "public"."items"."id" FROM "public"."items")) IS TRUE)) IS TRUE)`,
		},
		{
			"t in (select title from projects where owner in (select i4 from items where t = 'x'))", nil,
			`"t" COLLATE "C" IN (SELECT "public"."projects"."title" FROM "public"."projects" WHERE "public"."projects"."owner" IN ` +
				`(SELECT "public"."items"."i4" FROM "public"."items" WHERE "public"."items"."t" = 'x'::text))`,
		},
	} {
		p, err := Compile(test.where, given(test.params...), sample(), sampleCatalog)
		if err != nil {
			t.Errorf("%s\n got  error %v\n want %s", test.where, err, test.sql)
			continue
		}
		if got := p.SQL(); got != test.sql {
			t.Errorf("%s\n got  %s\n want %s", test.where, got, test.sql)
		}
	}
}

func TestSubqueryErrorsSayWhatIsWrongAndWhere(t *testing.T) {
	const form = ` (write column IN (SELECT column FROM table WHERE …))`
	nested := "flag"
	for range 10 {
		nested = "id in (select pid from projects where owner in (select i4 from items where " + nested + "))"
	}
	for _, test := range []struct{ where, want string }{
		{"flag and exists (select 1 from projects)", `where clause, position 10: EXISTS does not say which rows belong together (write EXISTS (SELECT 1 FROM table WHERE table.column = outer.column AND …))`},
		{"exists (select count(*) from projects where pid = id)", `where clause, position 16: expressions are not supported in the select list of EXISTS (write EXISTS (SELECT 1 FROM table WHERE table.column = outer.column AND …))`},
		{"exists (select nope from projects where pid = id)", `where clause, position 16: column "nope" does not exist in table public.projects`},
		{"exists (select 1 from projects where pid > id)", `where clause, position 1: EXISTS does not say which rows belong together (write EXISTS (SELECT 1 FROM table WHERE table.column = outer.column AND …))`},
		{"exists (select 1 from projects where pid = id and owner < i4)", `where clause, position 59: correlated subqueries are not supported: "i4" is a column of public.items, outside of the subquery (the subquery may only name columns of public.projects)`},
		{"exists (select 1 from projects where pid = id limit 0)", `where clause, position 53: LIMIT is not supported in a subquery` + form},
		{"id = (select pid from projects)", `where clause, position 6: a subquery as a value is not supported` + form},
		{"id > any (select pid from projects)", `where clause, position 4: > ANY (SELECT …) is not supported` + form},
		{"id = all (select pid from projects)", `where clause, position 4: = ALL (SELECT …) is not supported` + form},
		{"id in (select pid from projects limit 1)", `where clause, position 39: LIMIT is not supported in a subquery` + form},
		{"id in (select pid from projects offset 1)", `where clause, position 40: OFFSET is not supported in a subquery` + form},
		{"id in (select distinct on (owner) pid from projects)", `where clause, position 28: DISTINCT ON is not supported in a subquery` + form},
		{"id in (select pid from projects order by owner)", `where clause, position 42: ORDER BY is not supported in a subquery` + form},
		{"id in (select pid from projects group by pid)", `where clause, position 42: GROUP BY is not supported in a subquery` + form},
		{"id in (select pid from projects union select pid from projects)", `where clause, position 4: UNION, INTERSECT or EXCEPT is not supported in a subquery` + form},
		{"id in (select pid from projects for update)", `where clause, position 4: FOR UPDATE or FOR SHARE is not supported in a subquery` + form},
		{"id in (with x as (select 1) select pid from projects)", `where clause, position 4: WITH is not supported in a subquery` + form},
		{"id in (values (1))", `where clause, position 4: VALUES is not supported in a subquery` + form},
		{"id in (select max(pid) from projects)", `where clause, position 15: aggregates and functions are not supported in the select list of a subquery` + form},
		{"id in (select pid + 1 from projects)", `where clause, position 15: expressions are not supported in the select list of a subquery` + form},
		{"id in (select * from projects)", `where clause, position 15: * is not supported in the select list of a subquery (name the column)`},
		{"id in (select 1)", `where clause, position 4: the subquery selects from no table` + form},
		{"id in (select pid from projects, items)", `where clause, position 34: joins are not supported in a subquery (use a subquery inside the subquery: … WHERE column IN (SELECT …))`},
		{"id in (select pid from projects join items on true)", `where clause, position 24: joins are not supported in a subquery (use a subquery inside the subquery: … WHERE column IN (SELECT …))`},
		{"id in (select pid from projects p (a))", `where clause, position 24: other names for the columns of "projects" are not supported`},
		{"id in (select pid from projects p where projects.active)", `where clause, position 41: unknown table "projects" (in this subquery the table is called "p")`},
		{"id in (select pid from only projects)", `where clause, position 29: ONLY is not supported in a subquery`},
		{"id in (select pid from a.b.projects)", `where clause, position 24: the table of a subquery is written as table or schema.table`},
		{"id in (select pid from (select 1) x)", `where clause, position 32: a subquery must select from a table` + form},
		{"id in (select pid from nothing)", `where clause, position 24: table public.nothing does not exist`},
		{"id in (select pid from projects where owner = items.i4)", `where clause, position 47: correlated subqueries are not supported: "items.i4" is a column of public.items, outside of the subquery (the subquery may only name columns of public.projects)`},
		{"id in (select pid from projects where flag)", `where clause, position 39: correlated subqueries are not supported: "flag" is a column of public.items, outside of the subquery (the subquery may only name columns of public.projects)`},
		{"id in (select id from projects)", `where clause, position 15: correlated subqueries are not supported: "id" is a column of public.items, outside of the subquery (the subquery may only name columns of public.projects)`},
		{"id in (select nope from projects)", `where clause, position 15: column "nope" does not exist in table public.projects`},
		{"t in (select pid from projects)", `where clause, position 1: column "t" is of type text, and "pid" of public.projects of type bigint (columns must have the same type to be looked up in a subquery, or both be integers, or both text or varchar)`},
		{"mood in (select mood from projects)", `where clause, position 1: column "mood" cannot be looked up in a subquery: values of type oid 99999 have no text to compare them by`},
		{"1 in (select owner from projects)", `where clause, position 1: only columns may stand before IN (SELECT …) (write column IN (SELECT …) or (column, column) IN (SELECT …))`},
		{"(i4, 1) in (select owner, owner from projects)", `where clause, position 6: only columns may stand before IN (SELECT …) (write column IN (SELECT …) or (column, column) IN (SELECT …))`},
		{"(i4, id) in (select owner from projects)", `where clause, position 10: the subquery selects 1 column, for 2 before IN`},
		{"i4 in (select owner, pid from projects)", `where clause, position 4: the subquery selects 2 columns, for 1 before IN`},
		{"t = 'é' and i4 in (select owner from projects where title = 5)", `where clause, position 59: operator does not exist: text = integer`},
		{nested, `where clause, position 304: subqueries are nested too deeply: at most 8 levels are allowed`},
		{strings.Repeat("id in (select pid from projects) or ", 40) + "flag", `where clause, position 1156: too many subqueries: at most 32 are allowed`},
	} {
		p, err := Compile(test.where, nil, sample(), sampleCatalog)
		var e *Error
		if err == nil || !errors.As(err, &e) {
			t.Errorf("%s\n got %v, %v, want an *Error", test.where, p, err)
			continue
		}
		if got := err.Error(); got != test.want {
			t.Errorf("%s\n got  %s\n want %s", test.where, got, test.want)
		}
	}
	if _, err := Compile("doc in (select doc from projects)", nil, sample(), sampleCatalog); err == nil || !strings.Contains(err.Error(), `column "doc" cannot be looked up in a subquery`) {
		t.Errorf("a type without keys: %v", err)
	}
	if _, err := Compile("id in (select x from broken)", nil, sample(), sampleCatalog); !errors.Is(err, errCatalog) {
		t.Errorf("the catalog's error becomes %v", err)
	}
}

func TestSubqueriesAreListedOnceInOneOrder(t *testing.T) {
	const active = "(select pid from projects where active)"
	describe := func(where string, params ...string) string {
		var out []string
		for _, q := range compileIn(t, where, params...).Subqueries() {
			out = append(out, fmt.Sprintf("%v %s.%s%v where %q %v %t", q.Columns, q.Schema, q.Table, q.Select, q.Where, listed(q.Params), q.Monotone))
		}
		return strings.Join(out, "; ")
	}
	for _, test := range []struct {
		where  string
		params []string
		want   string
	}{
		{"flag", nil, ""},
		{"id in " + active + " or flag", nil, `[0] public.projects[pid] where "active" [] true`},
		{"id in " + active + " and not (id in (SELECT pid FROM public.projects where (active)))", nil, `[0] public.projects[pid] where "active" [] false`},
		{"id in " + active + " is true", nil, `[0] public.projects[pid] where "active" [] true`},
		{"id in " + active + " is not true", nil, `[0] public.projects[pid] where "active" [] false`},
		{
			"exists (select 1 from projects p where p.pid = items.id and p.owner = $1)",
			[]string{"7"},
			`[0] public.projects[pid] where "\"owner\" = '7'::integer" [] true`,
		},
		{"not exists (select 1 from projects where pid = id and active)", nil, `[0] public.projects[pid] where "active" [] false`},
		{"id in " + active + " = flag", nil, `[0] public.projects[pid] where "active" [] false`},
		{
			"i4 in (select owner from projects where active) or id in " + active, nil,
			`[4] public.projects[owner] where "active" [] true; [0] public.projects[pid] where "active" [] true`,
		},
		{
			"id in " + active + " or i4 in (select owner from projects where active)", nil,
			`[4] public.projects[owner] where "active" [] true; [0] public.projects[pid] where "active" [] true`,
		},
		{
			"i4 not in (select owner from projects where owner in (select who from \"Other\".\"People\"))", nil,
			`[4] public.projects[owner] where "owner IN (SELECT who FROM \"Other\".\"People\")" [] false`,
		},
		{
			"f8 > $2 and n = $3 and i4 in (select owner from projects where rate = $2 and title = $1)",
			[]string{"x", "1.5", "2"},
			`[4] public.projects[owner] where "rate = $2::double precision AND title = $1" ["x" "1.5"] true`,
		},
	} {
		if got := describe(test.where, test.params...); got != test.want {
			t.Errorf("%s\n got  %s\n want %s", test.where, got, test.want)
		}
	}
}

func TestFixedSQLIsWhatNoSubqueryDecides(t *testing.T) {
	const in = "id in (select pid from projects)"
	for where, want := range map[string]string{
		in:                                 `true`,
		"flag":                             `"flag"`,
		in + " or flag":                    `true`,
		in + " and flag":                   `"flag"`,
		"flag and (" + in + " and i4 = 1)": `("flag" AND "i4" = '1'::integer)`,
		"not (flag and " + in + ")":        `true`,
	} {
		if got := compileIn(t, where).FixedSQL(); got != want {
			t.Errorf("%s: %s, want %s", where, got, want)
		}
	}
}

// keys makes a set of values, each written as its components joined by commas; null is NULL.
func set(tb testing.TB, values ...string) *valueset.View {
	tb.Helper()
	v := valueset.NewView(&valueset.Set{})
	for _, value := range values {
		var key []byte
		for part := range strings.SplitSeq(value, ",") {
			text := []byte(part)
			if part == "null" {
				text = nil
			}
			key = valueset.AppendComponent(key, text)
		}
		v.Add(key, 1)
	}
	return v
}

func TestMembershipIsSQLs(t *testing.T) {
	row := func(i4, id string) [][]byte {
		r := sampleRow()
		for column, text := range map[int]string{4: i4, 0: id} {
			r[column] = []byte(text)
			if text == "null" {
				r[column] = nil
			}
		}
		return r
	}
	for _, test := range []struct {
		left string
		set  []string
		want truth
	}{
		{"1", nil, isFalse},
		{"null", nil, isFalse},
		{"1", []string{"1"}, isTrue},
		{"1", []string{"2"}, isFalse},
		{"1", []string{"2", "null"}, isUnknown},
		{"1", []string{"1", "null"}, isTrue},
		{"null", []string{"1"}, isUnknown},
		{"null", []string{"null"}, isUnknown},
		{"1,2", nil, isFalse},
		{"null,null", nil, isFalse},
		{"1,2", []string{"1,2"}, isTrue},
		{"1,2", []string{"2,1"}, isFalse},
		{"1,2", []string{"1,null"}, isUnknown},
		{"1,2", []string{"2,null"}, isFalse},
		{"1,2", []string{"2,null", "null,2"}, isUnknown},
		{"1,2", []string{"null,null"}, isUnknown},
		{"1,null", []string{"1,5"}, isUnknown},
		{"1,null", []string{"2,5"}, isFalse},
		{"1,null", []string{"2,null", "1,null"}, isUnknown},
		{"null,2", []string{"7,3", "8,4"}, isFalse},
		{"null,2", []string{"7,3", "8,2"}, isUnknown},
		{"null,null", []string{"7,3"}, isUnknown},
	} {
		i4, id, tuple := strings.Cut(test.left, ",")
		where := "i4 in (select owner from projects)"
		if tuple {
			where = "(i4, id) in (select owner, pid from projects)"
		}
		for clause, want := range map[string]bool{
			where:                         test.want == isTrue,
			"not " + where:                test.want == isFalse,
			"(" + where + ") is unknown":  test.want == isUnknown,
			"(" + where + ") is not true": test.want != isTrue,
			"(" + where + ") is false":    test.want == isFalse,
			where + " or not " + where:    test.want != isUnknown,
		} {
			sets := []Set{set(t, test.set...)}
			if got := compileIn(t, clause).MatchIn(row(i4, id), sets, &Scratch{}); got != want {
				t.Errorf("%s with %q in %q: %t, want %t", clause, test.left, test.set, got, want)
			}
		}
	}
}

func TestMatchInDoesNotAllocate(t *testing.T) {
	p := compileIn(t, "flag and (id in (select pid from projects) or t not in (select title from projects)) and (i4, id) in (select owner, pid from projects)")
	var sets []Set
	for _, q := range p.Subqueries() {
		switch len(q.Columns) {
		case 1:
			sets = append(sets, set(t, "7", "x", "null"))
		default:
			sets = append(sets, set(t, "42,42"))
		}
	}
	row, s := sampleRow(), &Scratch{}
	if n := testing.AllocsPerRun(100, func() { p.MatchIn(row, sets, s) }); n > 0 {
		t.Errorf("%v allocations a row", n)
	}
}

func BenchmarkMatchIn(b *testing.B) {
	for _, bench := range []struct{ name, where string }{
		{"int8", "id in (select pid from projects)"},
		{"int8_and_bool", "flag and id in (select pid from projects)"},
		{"not_in", "flag and id not in (select pid from projects)"},
		{"tuple", "(i4, id) in (select owner, pid from projects)"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p := compileIn(b, bench.where)
			sets := []Set{set(b, "1", "42", "42,42")}
			row, s := sampleRow(), &Scratch{}
			b.ReportAllocs()
			for b.Loop() {
				p.MatchIn(row, sets, s)
			}
		})
	}
}

// What looks like a guard, and is another CASE, is built once: its subqueries are the clause's all the same.
func TestSubqueriesInWhatIsNoGuard(t *testing.T) {
	p := compileIn(t, "(case when i4 between '-5'::bigint and '5'::bigint then (i4 in (select who from \"Other\".\"People\"))::integer end) = 1")
	if n := len(p.Subqueries()); n != 1 {
		t.Fatalf("%d subqueries", n)
	}
	again := compileIn(t, p.SQL())
	if again.SQL() != p.SQL() || len(again.Subqueries()) != 1 {
		t.Errorf("%s prints as %s", p.SQL(), again.SQL())
	}
}

// Values that Postgres finds equal have one key, whatever their texts are.
func TestEqualValuesHaveOneKey(t *testing.T) {
	for _, test := range []struct {
		oid  uint32
		a, b string
		same bool
	}{
		{1700, "1.0", "1.00", true},
		{3906, "[1,5)", "[1.0,5.00)", true},
		{3906, "[1,5)", "[1,5]", false},
		{3906, "empty", "empty", true},
		{3904, "[1,5)", "[1,6)", false},
		{650, "10.0.0.0/8", "10.0.0.0/9", false},
		{869, "10.0.0.1", "10.0.0.1/8", false},
		{17, `\x00`, `\x0000`, false},
		{1562, "1", "10", false},
	} {
		k, err := NewKeyer([]Column{{Name: "c", TypeOID: test.oid}})
		if err != nil {
			t.Fatal(err)
		}
		if same := string(k.Append(nil, []byte(test.a))) == string(k.Append(nil, []byte(test.b))); same != test.same {
			t.Errorf("type %d: %s and %s have one key: %t", test.oid, test.a, test.b, same)
		}
	}
}

func TestACompositeValueIsNullByItsAttributes(t *testing.T) {
	for text, want := range map[string][2]bool{
		"(,)": {true, false}, "(1,)": {false, false}, "(1,a)": {false, true}, `(,"")`: {false, false}, `("","")`: {false, true}, `(1,",,")`: {false, true}, `(1,"a"",,""b")`: {false, true}, "()": {true, false},
	} {
		row := make([][]byte, len(sample().Columns))
		row[33] = []byte(text)
		if got := [2]bool{compile(t, "point is null").Match(row), compile(t, "point is not null").Match(row)}; got != want {
			t.Errorf("%s: NULL and NOT NULL are %v", text, got)
		}
	}
}
