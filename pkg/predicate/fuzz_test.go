package predicate

import (
	"errors"
	"strings"
	"testing"
)

// FuzzCompile looks for panics, and for accepted clauses whose SQL does not mean the same when read again.
func FuzzCompile(f *testing.F) {
	for _, where := range []string{
		"id = 42", "t like $1 escape '!'", "flag and not (i4 in (1, null, 2.5))", "c between 'a' and 'b '::text", "d < timestamp '2024-01-01'",
		"u = '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'::uuid", "(n > 1e5) is not unknown", "f4 in (1.1, 'NaN')", "true group by 1", "E'\\xff' = t",
	} {
		f.Add(where, "1")
	}
	f.Fuzz(func(t *testing.T, where, param string) {
		for _, params := range [][]string{nil, {param}} {
			p, err := Compile(where, params, sample())
			if err != nil {
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Fatalf("%T", err)
				}
				continue
			}
			row := sampleRow()
			again, err := Compile(strings.ReplaceAll(p.SQL(), byteOrder, ""), nil, sample())
			if err != nil {
				if strings.Contains(where+param, "COLLATE") || len(p.SQL()) > maxClause || strings.Contains(err.Error(), "too deeply") {
					continue
				}
				t.Fatalf("%q prints as %s, which does not compile: %v", where, p.SQL(), err)
			}
			if again.SQL() != p.SQL() && !strings.Contains(where+param, "COLLATE") || again.Match(row) != p.Match(row) {
				t.Fatalf("%q prints as %s, which prints as %s", where, p.SQL(), again.SQL())
			}
		}
	})
}

// FuzzMatch looks for panics on rows that no Postgres sends.
func FuzzMatch(f *testing.F) {
	f.Add("", []byte(nil))
	f.Add("2024-02-29 12:34:56.789+00", []byte("1"))
	f.Add("-12345678901234567890.5e9", []byte("NaN"))
	clauses := []string{
		"id < 5 or i2 in (1,2) or i4 = i2", "f4 < 1.5 or f8 in (1, 'NaN', 2) or f4 = f8", "n <= 1.50 or n in (1, 2.25) or n = i4", "price > 1.5::float8",
		"t like 'a%b_c%d' or t ilike '%É_k' or t < v", "c = 'ab' or c = t or c in ('a','b')", "u >= 'a0eebc999c0b4ef8bb6d6bb9bd380a11'",
		"d < '2024-02-29' or d = ts or d in ('2024-01-01', '2024-01-02')", "ts > '2024-01-01 BC' or tz < '2024-01-01'", "flag = flag2 or not flag",
	}
	predicates := make([]*Predicate, len(clauses))
	for i, where := range clauses {
		predicates[i] = compile(f, where)
	}
	f.Fuzz(func(t *testing.T, a string, b []byte) {
		row := make([][]byte, len(sample().Columns))
		for i := range row {
			row[i] = []byte(a)
			if i%2 == 1 {
				row[i] = b
			}
		}
		for _, p := range predicates {
			p.Match(row)
			p.Match(row[:len(a)%len(row)])
		}
	})
}
