package predicate

import (
	"fmt"
	"strings"
	"testing"
)

// Each range of the random rows meets each other one of its type, and each value of its bounds' type, once.
func TestRangesAgreeWithPostgres(t *testing.T) {
	conn := connect(t)
	for _, r := range []struct {
		name     string
		oid, of  uint32
		element  string
		ranges   []string
		elements []string
	}{
		{"int4range", 3904, 23, "integer", ranges, []string{"0", "1", "2", "3", "5", "7", "-3", "42", "2147483647"}},
		{"int8range", 3926, 20, "bigint", ranges, []string{"0", "1", "2", "3", "5", "7", "-3", "42", "9223372036854775807"}},
		{"numrange", 3906, 1700, "numeric", numRanges, []string{"0.1", "1", "1.00", "1.1", "5", "NaN", "Infinity", "-Infinity", "-2.5"}},
		{"daterange", 3912, 1082, "date", dateRanges, dates[:10]},
		{"tsrange", 3908, 1114, "timestamp", stampRanges, timestamps},
		{"tstzrange", 3910, 1184, "timestamptz", zonedRanges, timestampTZs},
	} {
		table := Table{Schema: "public", Name: "t", Columns: []Column{{Name: "r", TypeOID: r.oid}, {Name: "q", TypeOID: r.oid}, {Name: "e", TypeOID: r.of}}}
		values := func(pool []string, sqlType string) string {
			quoted := make([]string, len(pool))
			for i, v := range pool {
				quoted[i] = "(" + quoteLiteral(v) + "::" + sqlType + ")"
			}
			return strings.Join(quoted, ", ")
		}
		rows := exec(t, conn, fmt.Sprintf("SELECT r, q, e FROM (VALUES %[1]s) a(r), (VALUES %[1]s) b(q), (VALUES %[2]s) c(e)", values(r.ranges, r.name), values(r.elements, r.element)))
		clauses := []string{"r @> q", "r <@ q", "r && q", "r = q", "r <> q", "r @> e", "e <@ q"}
		for _, constant := range r.ranges {
			for _, form := range []string{"r @> %s::", "r <@ %s::", "%s::%[2]s && r", "r = %s::", "e <@ %s::", "%s::%[2]s @> e"} {
				if strings.HasSuffix(form, "::") {
					form += "%[2]s"
				}
				form = strings.Replace(form, "%s", "%[1]s", 1)
				clauses = append(clauses, fmt.Sprintf(form, quoteLiteral(constant), r.name))
			}
		}
		for _, clause := range clauses {
			p, err := Compile(clause, nil, table, nil)
			if err != nil {
				t.Fatalf("%s: %v", clause, err)
			}
			theirs := exec(t, conn, fmt.Sprintf("SELECT %[3]s FROM (VALUES %[1]s) a(r), (VALUES %[1]s) b(q), (VALUES %[2]s) c(e)", values(r.ranges, r.name), values(r.elements, r.element), clause))
			for i, row := range rows {
				if ours := p.Match(row); ours != (string(theirs[i][0]) == "t") {
					t.Errorf("we say %t: %s of %q", ours, clause, row)
					break
				}
			}
		}
	}
}
