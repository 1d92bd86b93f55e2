package predicate

import (
	"errors"
	"strings"
	"testing"
)

// FuzzSubquery looks for panics, for clauses whose SQL is another clause when read again, and for inner clauses that do
// not stand alone.
func FuzzSubquery(f *testing.F) {
	for _, where := range []string{
		"id in (select pid from projects)", "id not in (select pid from projects where active = (title like $1))",
		"(i4, t) in (select owner, title from projects where pid in (select id from items where i4 = $1))",
		"flag and t in (select title from public.projects where projects.rate > $1::float8) is not true", "f8 = $1 or f8 in (select rate from projects where rate = $1)",
		`i4 in (select who from "Other"."People" where "Level" in (1,2) or E'\\x' = 'y')`, "id in (select max(pid) from projects p limit 1)",
		"c in (select code from projects where title = U&'\\0041' or title = $$a$$)", "id in (select id from items where i4 = 1_0 and n = -1.e5)",
		"exists (select 1 from projects p where p.pid = items.id and title = $1) and i4 <> all (select distinct owner x from projects)",
	} {
		f.Add(where, "1")
	}
	f.Fuzz(func(t *testing.T, where, param string) {
		for _, params := range [][]*string{nil, {&param}, {nil}} {
			p, err := Compile(where, params, sample(), sampleCatalog)
			if err != nil {
				if _, ok := errors.AsType[*Error](err); !ok && !errors.Is(err, errCatalog) {
					t.Fatalf("%T", err)
				}
				if strings.Contains(err.Error(), "by itself") && !strings.Contains(err.Error(), "too deeply") {
					t.Fatalf("%q: %v", where, err)
				}
				continue
			}
			again, err := Compile(strings.ReplaceAll(p.SQL(), byteOrder, ""), nil, sample(), sampleCatalog)
			if err != nil {
				if strings.Contains(where+param, "COLLATE") || len(p.SQL()) > maxClause || strings.Contains(err.Error(), "too deeply") {
					continue
				}
				t.Fatalf("%q prints as %s, which does not compile: %v", where, p.SQL(), err)
			}
			if again.SQL() != p.SQL() && !strings.Contains(where+param, "COLLATE") || len(again.Subqueries()) != len(p.Subqueries()) {
				t.Fatalf("%q prints as %s, which prints as %s", where, p.SQL(), again.SQL())
			}
			sets := make([]Set, len(p.Subqueries()))
			for i := range sets {
				sets[i] = set(t, "42", "null", "42,null", "x,y", "null,null,z")
				if _, err := touchSQL(p.Subqueries()[i], string(p.Subqueries()[i].AppendKey(nil, sampleRow()))); err != nil {
					t.Fatal(err)
				}
			}
			p.MatchIn(sampleRow(), sets, &Scratch{})
			p.MatchIn(sampleRow()[:len(where)%8], sets, &Scratch{})
		}
	})
}
