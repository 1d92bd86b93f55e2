package predicate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Each field of each date, time and timestamp of the random rows is what it is to Postgres, also at the ends of what there is.
func TestFieldsAgreeWithPostgres(t *testing.T) {
	conn := connect(t)
	const boundary = "294247-01-10 04:00:54.775807" // the last one whose epoch is an int64 of microseconds
	for _, c := range []struct {
		name   string
		oid    uint32
		fields string
		values []string
	}{
		{
			"date", 1082, "epoch day week month quarter year decade century millennium isoyear dow isodow doy",
			// Others are not made timestamps of, which date_part takes: see guard.go.
			slices.DeleteFunc(slices.Clone(dates), func(d string) bool { return len(d) != len("2024-02-29") }),
		},
		{
			"timestamp", 1114, "epoch microseconds milliseconds second minute hour day week month quarter year decade century millennium isoyear dow isodow doy",
			append([]string{boundary, "294247-01-10 04:00:54.775808", "294247-01-10 04:00:54.775806"}, timestamps...),
		},
		{"timestamptz", 1184, "epoch", append([]string{boundary + "+00", "294247-01-10 04:00:54.775808+00"}, timestampTZs...)},
	} {
		table := Table{Schema: "public", Name: "t", Columns: []Column{{Name: "x", TypeOID: c.oid}}}
		for field := range strings.FieldsSeq(c.fields) {
			for _, v := range c.values {
				theirs := exec(t, conn, fmt.Sprintf("SELECT x, extract(%[1]s FROM x)::text, date_part('%[1]s', x)::text FROM (VALUES (%[2]s::%[3]s)) r(x)", field, quoteLiteral(v), c.name))[0]
				for i, function := range []string{"extract(%s FROM x)", "date_part('%s', x)"} {
					of := fmt.Sprintf(function, field)
					clause := of + " IS NULL"
					if theirs[1+i] != nil {
						clause = of + " = " + quoteLiteral(string(theirs[1+i])) + "::" + []string{"numeric", "float8"}[i]
					}
					p, err := Compile(clause, nil, table, nil)
					if err != nil {
						t.Fatalf("%s: %v", clause, err)
					}
					if !p.Match(theirs[:1]) {
						t.Errorf("to Postgres %s for %s", clause, theirs[0])
					}
				}
			}
		}
	}
}
