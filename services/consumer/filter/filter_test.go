package filter

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/predicate/access"
)

// The table of these tests: small domains, so that clauses and rows meet.
var testTable = predicate.Table{Schema: "public", Name: "tasks", Columns: []predicate.Column{
	{Name: "owner", TypeOID: 23, TypeMod: -1},
	{Name: "project", TypeOID: 20, TypeMod: -1},
	{Name: "status", TypeOID: 25, TypeMod: -1},
	{Name: "price", TypeOID: 1700, TypeMod: -1},
	{Name: "due", TypeOID: 1082, TypeMod: -1},
	{Name: "done", TypeOID: 16, TypeMod: -1},
	{Name: "tags", TypeOID: 1009, TypeMod: -1},
	{Name: "counts", TypeOID: 1007, TypeMod: -1},
	{Name: "doc", TypeOID: 3802, TypeMod: -1},
	{Name: "net", TypeOID: 650, TypeMod: -1},
}}

var testCells = [][]string{
	{"1", "2", "3", "4"},
	{"1", "2", "3"},
	{"", "open", "shut", "opens", "OPEN, shut; Open"},
	{"0", "1.50", "1.5", "-2", "2.0", "NaN"},
	{"2024-01-01", "2024-02-01", "0044-03-15 BC", "infinity"},
	{"t", "f"},
	{"{}", "{x}", "{y,x}", `{NULL,"a b",x,x}`, "{{x,y},{z,NULL}}"},
	{"{}", "{1}", "{2,1,2}", "[3:4]={1,3}", "{NULL}"},
	{`{}`, `{"a": 1, "b": "x"}`, `{"a": 1.0, "b": {"c": "x"}}`, `["x", 1, null]`, `"x"`, `{"b": null, "x": [1]}`},
	{"10.0.0.0/8", "10.0.0.1/32", "::1/128"},
}

var testElements = map[string][]string{"tags": {"x", "y", "a b", "none"}, "counts": {"1", "2", "3"}}

func drawRow(t *rapid.T, name string) [][]byte {
	row := make([][]byte, len(testCells))
	for i, pool := range testCells {
		if n := rapid.IntRange(-1, len(pool)-1).Draw(t, name); n >= 0 {
			row[i] = []byte(pool[n])
		}
	}
	return row
}

func drawLeaf(t *rapid.T) string {
	i := rapid.IntRange(0, len(testCells)-1).Draw(t, "column")
	name := testTable.Columns[i].Name
	constant := func() string { return "'" + rapid.SampledFrom(testCells[i]).Draw(t, "constant") + "'" }
	if name == "done" {
		return rapid.SampledFrom([]string{"done", "not done", "done is unknown", "done is not true", "done = false"}).Draw(t, "leaf")
	}
	if pool := testElements[name]; pool != nil {
		return drawArrayLeaf(t, name, pool, constant())
	}
	switch name {
	case "doc":
		return drawDocumentLeaf(t, constant())
	case "net":
		return name + rapid.SampledFrom([]string{" = ", " <> ", " in ('10.0.0.1/32', '::/0', '::1/128') or net = "}).Draw(t, "operator") + constant()
	}
	switch rapid.IntRange(0, 7).Draw(t, "leaf") {
	case 0, 1, 2:
		return name + " = " + constant()
	case 3:
		return name + rapid.SampledFrom([]string{" < ", " >= ", " <> ", " > ", " <= "}).Draw(t, "operator") + constant()
	case 4:
		return name + " in (" + constant() + ", " + constant() + ", " + constant() + ")"
	case 5:
		return name + " between " + constant() + " and " + constant()
	case 6:
		left := rapid.SampledFrom([]string{"status like '", "status ilike '", "lower(status) like '", "upper(status) = '", "lower(status) = '"}).Draw(t, "fold")
		return left + rapid.SampledFrom([]string{"o%", "open", "OPEN", "%", "open_", "%t", "%pen%", "%OPE%", "o%hut%", "%shut%ope%"}).Draw(t, "pattern") + "'"
	default:
		return name + " is " + rapid.SampledFrom([]string{"", "not "}).Draw(t, "not") + "null"
	}
}

// drawDocumentLeaf is a test of the column of documents.
func drawDocumentLeaf(t *rapid.T, constant string) string {
	key := "'" + rapid.SampledFrom([]string{"a", "b", "x", "none"}).Draw(t, "key") + "'"
	text := "'" + rapid.SampledFrom([]string{"1", "1.0", "x", "null", "true"}).Draw(t, "text") + "'"
	return rapid.SampledFrom([]string{
		"doc @> " + constant, "doc <@ " + constant, "doc = " + constant, "doc ? " + key, "doc ?| array[" + key + ", 'b']", "doc ?& array[" + key + ", 'b']",
		"doc ->> " + key + " = " + text, "doc ->> " + key + " in (" + text + ", 'x')", "doc -> " + key + " = " + constant, "doc ->> " + key + " is null",
	}).Draw(t, "leaf")
}

// drawArrayLeaf is a test of an array column: of an element, or with another array.
func drawArrayLeaf(t *rapid.T, name string, pool []string, constant string) string {
	element := "'" + rapid.SampledFrom(pool).Draw(t, "element") + "'"
	switch rapid.IntRange(0, 4).Draw(t, "leaf") {
	case 0, 1:
		return element + rapid.SampledFrom([]string{" = any(", " <> all(", " = all("}).Draw(t, "quantifier") + name + ")"
	case 2:
		return name + ` @> '{"` + strings.Trim(element, "'") + `"}'`
	default:
		return name + rapid.SampledFrom([]string{" @> ", " <@ ", " && ", " = ", " <> "}).Draw(t, "operator") + constant
	}
}

func drawClause(t *rapid.T, depth int) string {
	if depth == 0 {
		return drawLeaf(t)
	}
	switch rapid.IntRange(0, 5).Draw(t, "form") {
	case 0:
		return "not (" + drawClause(t, depth-1) + ")"
	case 1, 2:
		return "(" + drawClause(t, depth-1) + " and " + drawClause(t, depth-1) + ")"
	case 3:
		return "(" + drawClause(t, depth-1) + " or " + drawClause(t, depth-1) + ")"
	}
	return drawLeaf(t)
}

// testShape is a shape: a clause, and perhaps a value set that its rows must be in as well.
type testShape struct {
	clause string
	pred   *predicate.Predicate
	set    *testSet
	entry  *Entry[*testShape]
}

// testSet is a set beside its model.
type testSet struct {
	*Set[*testShape]

	columns []int
	values  map[string][][]byte
}

func (s *testSet) has(row [][]byte) bool {
	var value [][]byte
	for _, c := range s.columns {
		if row[c] == nil {
			return false
		}
		value = append(value, row[c])
	}
	_, ok := s.values[fmt.Sprintf("%q", value)]
	return ok
}

func (s *testShape) match(row [][]byte) bool {
	return row != nil && s.pred.Match(row) && (s.set == nil || s.set.has(row))
}

// TestExactlyTheMatchingShapesAreFound mixes adding, removing, changes of sets, and changes of rows. What is found must hold every shape
// that matches, each once, and after asking their clauses exactly those.
func TestExactlyTheMatchingShapesAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := New[*testShape]()
		shapes := map[*testShape]bool{}
		var order []*testShape
		sets := []*testSet{newTestSet(t, x, 1), newTestSet(t, x, 1), newTestSet(t, x, 2, 0)}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
			case what < 4:
				s := &testShape{clause: drawClause(t, rapid.IntRange(0, 3).Draw(t, "depth"))}
				var err error
				if s.pred, err = predicate.Compile(s.clause, nil, testTable, nil); err != nil {
					t.Fatal(err)
				}
				a := s.pred.Access()
				if i := rapid.IntRange(-3, len(sets)-1).Draw(t, "set"); i >= 0 {
					s.set = sets[i]
					a = access.AllOf(a, access.MemberOf(i, s.set.outer...))
				}
				s.entry = x.Add(s, a, sets[0].Set, sets[1].Set, sets[2].Set)
				shapes[s] = true
				order = append(order, s)
			case what == 4 && len(order) > 0:
				i := rapid.IntRange(0, len(order)-1).Draw(t, "gone")
				x.Remove(order[i].entry)
				delete(shapes, order[i])
				order = slices.Delete(order, i, i+1)
			case what < 7:
				rapid.SampledFrom(sets).Draw(t, "set").change(t)
			default:
				var before, after [][]byte
				if what != 7 {
					before = drawRow(t, "before")
				}
				if what != 8 || before == nil {
					after = drawRow(t, "after")
				}
				check(t, x, shapes, before, after)
			}
			if x.Len() != len(shapes) {
				t.Fatalf("%d shapes in the index, want %d", x.Len(), len(shapes))
			}
		}
		for s := range shapes {
			x.Remove(s.entry)
		}
		for _, s := range sets {
			s.Clear()
		}
		if len(x.spaces)+len(x.ranges)+len(x.rest.items) > 0 {
			t.Errorf("the empty index keeps %d spaces, %d trees, %d shapes", len(x.spaces), len(x.ranges), len(x.rest.items))
		}
	})
}

func check(t *rapid.T, x *Index[*testShape], shapes map[*testShape]bool, before, after [][]byte) {
	found := map[*testShape]bool{}
	for _, s := range x.Find(before, after) {
		if found[s] {
			t.Fatalf("%s is found twice", s.clause)
		}
		if !shapes[s] {
			t.Fatalf("%s is found and was removed", s.clause)
		}
		found[s] = true
	}
	for s := range shapes {
		if (s.match(before) || s.match(after)) && !found[s] {
			t.Fatalf("%q -> %q: %s matches and is not found", before, after, s.clause)
		}
	}
}

func newTestSet(t *rapid.T, x *Index[*testShape], columns ...int) *testSet {
	s := &testSet{columns: columns, values: map[string][][]byte{}}
	var outer, inner []access.Key
	for i, c := range columns {
		o, in, ok := predicate.MemberKeys(predicate.KeyColumn{Index: c, TypeOID: testTable.Columns[c].TypeOID},
			predicate.KeyColumn{Index: i, TypeOID: testTable.Columns[c].TypeOID})
		if !ok {
			t.Fatal("no keys")
		}
		outer, inner = append(outer, o), append(inner, in)
	}
	s.Set = x.NewSet(outer, inner)
	return s
}

// change puts or drops a random value.
func (s *testSet) change(t *rapid.T) {
	row := drawRow(t, "value")
	var value [][]byte
	null := false
	for _, c := range s.columns {
		value = append(value, row[c])
		null = null || row[c] == nil
	}
	key := fmt.Sprintf("%q", value)
	_, there := s.values[key]
	there = there && !null
	if rapid.Bool().Draw(t, "put") {
		if got := s.Put(value...); got != (!there && !null) {
			t.Fatalf("Put(%q) says %t", value, got)
		}
		if !null {
			s.values[key] = value
		}
	} else {
		if got := s.Drop(value...); got != there {
			t.Fatalf("Drop(%q) says %t", value, got)
		}
		if there {
			delete(s.values, key)
		}
	}
	if s.Len() != len(s.values) {
		t.Fatalf("%d members, want %d", s.Len(), len(s.values))
	}
}

func add(tb testing.TB, x *Index[string], clause string, params ...string) *Entry[string] {
	tb.Helper()
	values := make([]*string, len(params))
	for i := range params {
		values[i] = &params[i]
	}
	p, err := predicate.Compile(clause, values, testTable, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return x.Add(clause+strings.Join(params, ","), p.Access())
}

// A row that says status open, price 1.50, due 2024-01-01, done, tagged with its owner and its project.
func taskRow(owner, project string) [][]byte {
	return [][]byte{
		[]byte(owner), []byte(project), []byte("open"), []byte("1.50"), []byte("2024-01-01"), []byte("t"),
		[]byte("{" + owner + ",p" + project + "}"), nil,
		[]byte(`{"owner": ` + owner + `, "project": "p` + project + `"}`), nil,
	}
}

func TestWhatIsFoundFollowsWhatMatches(t *testing.T) {
	for _, c := range []struct {
		name   string
		clause func(i int) string
		want   int // found at most, of a thousand shapes
	}{
		{"one column", func(i int) string { return fmt.Sprintf("owner = %d", i) }, 1},
		{"a list", func(i int) string { return fmt.Sprintf("owner in (%d, %d)", i, i+1) }, 2},
		{"the column that tells them apart, whichever comes first", func(i int) string { return fmt.Sprintf("done and status = 'open' and owner = %d", i) }, crowded + 1},
		{"two columns of which neither does", func(i int) string { return fmt.Sprintf("owner = %d and project = %d", i%32, i/32) }, 2*crowded + 1},
		{"lists of two columns", func(i int) string {
			return fmt.Sprintf("owner in (%d, %d) and project in (%d, %d)", i%32, i%32+1000, i/32, i/32+1000)
		}, 2*crowded + 1},
		{"ranges", func(i int) string { return fmt.Sprintf("owner >= %d and owner < %d", i, i+3) }, 3},
		{"ranges of numeric", func(i int) string { return fmt.Sprintf("price between %d.1 and %d.9", i, i) }, 1},
		{"a range and a column", func(i int) string { return fmt.Sprintf("due > '2020-01-01' and owner = %d", i) }, 1},
		{"a disjunction", func(i int) string { return fmt.Sprintf("owner = %d or project = %d", i, i) }, 2},
		{"NULL in a disjunction", func(i int) string { return fmt.Sprintf("owner = %d or project is null", i) }, 1},
		{"a range of texts", func(i int) string { return fmt.Sprintf("status like '%04d%%'", i) }, 0},
		{"an element", func(i int) string { return fmt.Sprintf("'%d' = any(tags)", i) }, 1},
		{"elements that are contained", func(i int) string { return fmt.Sprintf("tags @> '{%d,p%d}'", i, i%3) }, crowded + 1},
		{"an element and a column", func(i int) string { return fmt.Sprintf("tags @> '{p%d}' and owner = %d", i%32, i/32) }, 2*crowded + 1},
		{"a pair of a document", func(i int) string { return fmt.Sprintf(`doc @> '{"owner": %d}'`, i) }, 1},
		{"pairs of a document", func(i int) string { return fmt.Sprintf(`doc @> '{"project": "p%d", "owner": %d.0}'`, i%3, i) }, crowded + 1},
		{"a value in a document", func(i int) string { return fmt.Sprintf("doc ->> 'owner' = '%d'", i) }, 1},
		{"a key of a document", func(i int) string { return fmt.Sprintf("doc ? 'owner%d'", i) }, 0},
		{"a range of values", func(i int) string { return fmt.Sprintf("owner <@ '[%d,%d)'::int4range", i, i+3) }, 3},
		{"never", func(int) string { return "owner = null" }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[string]()
			for i := range 1000 {
				add(t, x, c.clause(i))
			}
			for i := range 31 {
				if found := x.Find(nil, taskRow(strconv.Itoa(i), strconv.Itoa(i))); len(found) > c.want {
					t.Fatalf("row %d finds %d: %q", i, len(found), found)
				}
			}
			if x.Unindexed() > 0 {
				t.Errorf("%d are asked about every change", x.Unindexed())
			}
		})
	}
}

// A key of several columns does not hold a long text once for each element beside it.
func TestLongTextsBesideManyElements(t *testing.T) {
	long := strings.Repeat("x", 1<<16) // no clause has a longer one
	x := New[string]()
	for i := range 64 {
		add(t, x, fmt.Sprintf("status = '%s' and tags @> '{t%d}'", long[:40_000], i%8))
		add(t, x, fmt.Sprintf("status = '%s%d' and tags @> '{t%d}'", long[:100], i%8, i/8))
	}
	if x.composites() == 0 {
		t.Fatal("no columns are looked up together")
	}
	row := taskRow("1", "1")
	find := func(status string, tags ...string) []string {
		row[2], row[6] = []byte(status), []byte("{"+strings.Join(tags, ",")+"}")
		return x.Find(nil, row)
	}
	for _, c := range []struct {
		status, tag string
		matching    int
	}{{long[:40_000], "t5", 8}, {long[:100] + "3", "t2", 1}, {long[:40_001], "t5", 0}} {
		found := find(c.status, c.tag)
		clause := fmt.Sprintf("status = '%s' and tags @> '{%s}'", c.status, c.tag)
		matching := len(found) - len(slices.DeleteFunc(slices.Clone(found), func(s string) bool { return s == clause }))
		if matching != c.matching || len(found) > matching+2*crowded+1 { // those that came before there was a key of both columns
			t.Errorf("a text of %d bytes and %s find %d shapes, of which %d match; want %d", len(c.status), c.tag, len(found), matching, c.matching)
		}
	}
	tags := make([]string, 10_000)
	for i := range tags {
		tags[i] = "t" + strconv.Itoa(i)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	find(strings.Repeat("x", 1<<20), tags...)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a text of a megabyte beside 10,000 elements takes %v", took)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("a text of a megabyte beside 10,000 elements takes %d bytes", grown)
	}
}

func TestASetLeadsToTheShapesAttachedToIt(t *testing.T) {
	x := New[string]()
	outer, inner, ok := predicate.MemberKeys(predicate.KeyColumn{Index: 1, TypeOID: 20}, predicate.KeyColumn{Index: 0, TypeOID: 1700})
	if !ok {
		t.Fatal("bigint and numeric do not compare")
	}
	mine := x.NewSet([]access.Key{outer}, []access.Key{inner})
	theirs := x.NewSet([]access.Key{outer}, []access.Key{inner})
	member := access.MemberOf(0, outer)
	a := x.Add("a", member, mine)
	x.Add("b", member, mine)
	x.Add("c", member, theirs)
	find := func(project string, want ...string) {
		t.Helper()
		got := slices.Sorted(slices.Values(x.Find(taskRow("1", project), taskRow("1", project))))
		if !slices.Equal(got, want) {
			t.Errorf("project %s finds %q, want %q", project, got, want)
		}
	}
	find("7")
	mine.Put([]byte("7.0"))
	theirs.Put([]byte("7"))
	theirs.Put([]byte("8"))
	find("7", "a", "b", "c")
	find("8", "c")
	x.Remove(a)
	mine.Drop([]byte("7"))
	find("7", "c")
	mine.Put([]byte("8"))
	find("8", "b", "c")
	theirs.Clear()
	find("8", "b")
	if mine.Len() != 1 || mine.Shapes() != 1 || theirs.Len() != 0 || theirs.Shapes() != 1 {
		t.Errorf("sizes %d %d %d %d", mine.Len(), mine.Shapes(), theirs.Len(), theirs.Shapes())
	}
}

// TestRangesStayBalanced: sorted ends are what a plain tree degenerates on.
func TestRangesStayBalanced(t *testing.T) {
	x := New[string]()
	entries := map[int]*Entry[string]{}
	const n = 20_000
	for i := range n {
		entries[i] = add(t, x, "owner > $1", strconv.Itoa(i))
	}
	var depth func(n *node[string]) int
	depth = func(n *node[string]) int {
		if n == nil {
			return 0
		}
		return 1 + max(depth(n.left), depth(n.right))
	}
	if d := depth(x.ranges[0].root); d > 80 {
		t.Errorf("%d levels for %d intervals", d, n)
	}
	for i := range maps.Keys(entries) {
		if i >= 10 {
			x.Remove(entries[i])
		}
	}
	if found := x.Find(taskRow("5", "0"), nil); len(found) != 5 {
		t.Errorf("found %q", found)
	}
}

func TestFindDoesNotAllocate(t *testing.T) {
	x := New[string]()
	for i := range 100 {
		add(t, x, fmt.Sprintf("owner = %d", i))
		add(t, x, fmt.Sprintf("price > %d and price < %d", i, i+1))
		add(t, x, fmt.Sprintf(`tags @> '{"%d x"}'`, i))
		add(t, x, fmt.Sprintf(`doc @> '{"owner": %d}'`, i))
		add(t, x, fmt.Sprintf("owner in (%d, 5) and project = %d", i%10, i/10))
	}
	a, b := taskRow("5", "1"), taskRow("6", "2")
	a[6], b[6] = []byte(`{a,"5 x"}`), []byte(`{"5 x",b,"6 x"}`)
	x.Find(a, b)
	if n := testing.AllocsPerRun(100, func() { x.Find(a, b) }); n > 0 {
		t.Errorf("%v allocations a change", n)
	}
}
