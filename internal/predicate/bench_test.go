package predicate

import (
	"testing"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

func BenchmarkMatch(b *testing.B) {
	for _, bench := range []struct{ name, where string }{
		{"int8_equal", "id = 42"},
		{"int8_range", "id > 41"},
		{"text_equal", "t = 'hello world'"},
		{"text_less", "t < 'z'"},
		{"bpchar_equal", "c = 'ch'"},
		{"uuid_equal", "u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"},
		{"numeric_less", "n < 10.75"},
		{"float8_less", "f8 < 2.75"},
		{"date_range", "d between '2024-01-01' and '2024-12-31'"},
		{"timestamptz_range", "tz >= '2024-01-01' and tz < '2025-01-01'"},
		{"like", "t like '%wor%'"},
		{"ilike", "t ilike '%WOR%'"},
		{"int8_in_1000", "id in (" + numbers(1000) + ", 42)"},
		{"numeric_in_1000", "n in (" + numbers(1000) + ", 10.5)"},
		{"int8_and_bool_and_text", "id = 42 and flag and t <> 'x'"},
		{"int8_equal_no_match", "id = 43 and flag"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p := compile(b, bench.where)
			row := sampleRow()
			b.ReportAllocs()
			for b.Loop() {
				p.Match(row)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	table := sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile("id = $1 and flag and t <> 'x'", given("42"), table, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func numbers(n int) string {
	out := make([]byte, 0, 8*n)
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, value.IntConstant(int64(1000+i)).Text...)
	}
	return string(out)
}

func TestMatchDoesNotAllocate(t *testing.T) {
	row := sampleRow()
	for _, where := range []string{
		"id = 42", "id > 41 and i4 in (1, 42)", "t < 'z' and t like '%wor_d' and t ilike 'H%'", "c = 'ch'", "n < 10.75 and n in (1, 10.5)", "f8 < 2.75 and f4 > 1",
		"d > '2024-01-01' and ts > d", "tz >= '2024-01-01'", "flag = (id is not null)", "price < 20 and price > i2",
	} {
		p := compile(t, where)
		if n := testing.AllocsPerRun(100, func() { p.Match(row) }); n > 0 {
			t.Errorf("%s: %v allocations a row", where, n)
		}
	}
}
