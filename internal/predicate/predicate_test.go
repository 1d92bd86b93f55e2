package predicate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// sampleRow is a row of the sample table.
func sampleRow() [][]byte {
	row := make([][]byte, len(sample().Columns))
	for i, v := range []string{
		"42", "t", "f", "7", "42", "1.5", "2.5", "10.50", "19.99", "hello world", "vary", "ch  ", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
		"2024-02-29", "2024-02-29 12:34:56.789", "2024-02-29 12:34:56.789+00", "5", "{}",
	} {
		row[i] = []byte(v)
	}
	return row
}

func TestEqualClausesHaveOneCanonicalForm(t *testing.T) {
	for _, group := range [][][]string{
		{{"id = 42"}, {" ID=42 "}, {"(items.id) = (42)"}, {"id = $1", "42"}, {"42 = id"}, {"id = '42'"}, {"id = 42.0"}, {"id = '42'::int2"}, {"/* c */ id = 42 -- x"}},
		{{"t = 'x' AND flag"}, {"t = $1 and flag", "x"}, {"((t = 'x') and (flag))"}, {"t = 'x'::varchar and flag is true and true"}},
		{{"i4 in (1,2)"}, {"i4 IN ($2, $1)", "2", "1"}, {"i4 in (1,2,1)"}, {"i4 in ('1', 2.0)"}},
		{{"n = 1.5"}, {"n = 1.50"}, {"n = '15e-1'"}, {"n = $1", "1.500"}},
		{{"tz = '2024-01-01'"}, {"tz = '2024-01-01T01:00+01'"}},
		{{"t like 'a!%' escape '!'"}, {`t like 'a\%'`}},
		{{"flag and (flag2 and i4 = 1)"}, {"(flag and flag2) and i4 = 1"}},
		{{""}, {"  "}, {"true"}},
	} {
		first := compile(t, group[0][0], group[0][1:]...).Canonical()
		for _, c := range group[1:] {
			if strings.Contains(c[0], "is true and true") {
				continue // equal rows, but not the same form
			}
			if got := compile(t, c[0], c[1:]...).Canonical(); got != first {
				t.Errorf("%q: %s, want %s", c, got, first)
			}
		}
	}
	if compile(t, "id = 1").Canonical() == compile(t, "id = 2").Canonical() {
		t.Error("different clauses have one canonical form")
	}
}

func TestCanonicalFormsAreFixedPoints(t *testing.T) {
	for _, where := range []string{
		"id = 1 and not flag", "c in ('a','b ') or t ilike 'x%'", `t like 'a\_%' and n < 1e50`, "d between '2024-01-01' and 'infinity'", "f4 in (1.1,2)",
		"i2 = 70000 or u <> 'a0eebc999c0b4ef8bb6d6bb9bd380a11'", "(i4 > 1) = flag", "tz is null or ts < '2024-01-01'", `"Order" not in (1, null)`,
		"i4 in (1, 2.5) or i4 = 1.5", "f8 < 1.5e300 or price = 1.5::float8", "t = v or c < t",
	} {
		// The printer's casts and COLLATE are for Postgres; without COLLATE the text is a clause of the language again.
		sql := compile(t, where).SQL()
		if again := compile(t, strings.ReplaceAll(sql, byteOrder, "")).SQL(); again != sql {
			t.Errorf("%s\n became %s", sql, again)
		}
	}
}

// columnsRead are the indexes of the columns that a clause reads, ascending.
func columnsRead(p *Predicate) []int {
	var columns []int
	p.root.columns(func(column int) {
		if p.members == nil || column < p.members.width {
			columns = append(columns, column)
		}
	})
	slices.Sort(columns)
	return slices.Compact(columns)
}

func TestColumnsAreThoseTheClauseReads(t *testing.T) {
	p := compile(t, "t = v and id = 1 or not (flag is null) and t like 'x'")
	if got := columnsRead(p); !slices.Equal(got, []int{0, 1, 9, 10}) {
		t.Errorf("got %v", got)
	}
	if got := columnsRead(compile(t, "")); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestAnEmptyClauseMatchesEveryRow(t *testing.T) {
	if p := compile(t, ""); !p.Match(nil) || !p.Match(sampleRow()) {
		t.Error("no match")
	}
}

func TestNullAndEmptyTextAreDifferent(t *testing.T) {
	row := sampleRow()
	row[9] = []byte{}
	if !compile(t, "t = ''").Match(row) || compile(t, "t is null").Match(row) || !compile(t, "t like '%'").Match(row) || !compile(t, "t in ('','a')").Match(row) {
		t.Error("'' is taken for NULL")
	}
	row[9] = nil
	if compile(t, "t = ''").Match(row) || !compile(t, "t is null").Match(row) {
		t.Error("NULL is taken for ''")
	}
}

func TestMatchIsSafeForConcurrentUse(t *testing.T) {
	p := compile(t, "t ilike $1 and n between 10 and 11 and tz > '2024-01-01' and i4 in (1, 42)", "%O W%")
	row := sampleRow()
	row[9] = []byte(strings.Repeat("hello world ", 50))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				if !p.Match(row) {
					t.Error("no match")
					return
				}
			}
		})
	}
	group.Wait()
}

func TestLargeClausesCompileInBoundedTime(t *testing.T) {
	var ids, or strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&ids, "%d,", i)
	}
	for i := range 2500 {
		fmt.Fprintf(&or, "id=%d and flag or ", i)
	}
	start := time.Now()
	for _, where := range []string{
		"id in (" + ids.String() + "0)",
		or.String() + "flag2",
		strings.Repeat("flag and ", 7000) + "flag",
		strings.Repeat("(", 100) + "flag" + strings.Repeat(")", 100),
		"n in (" + strings.Repeat("1e131071,", 5000) + "1)",
	} {
		compile(t, where).Match(sampleRow())
	}
	for _, where := range []string{
		strings.Repeat("(", 1<<16), strings.Repeat("not ", 1<<14), "1" + strings.Repeat("+1", 1<<14), strings.Repeat("case when flag and ", 3000),
		"flag" + strings.Repeat("::bool", 10000), strings.Repeat("-", 1<<15), "array" + strings.Repeat("[", 1<<15), strings.Repeat("flag and (", 6000),
		"id in (" + strings.Repeat("1,", 1<<14) + "1)", "true union values (1,1)" + strings.Repeat(" union values (1,1)", 3000),
		strings.Repeat("$1=", 1<<14), strings.Repeat("'", 1<<15), strings.Repeat("/*", 1<<15), strings.Repeat("flag=(", 200) + "flag" + strings.Repeat(")", 200),
		"id" + strings.Repeat(".x", 1<<15), strings.Repeat("exists(select 1 where ", 500), "id = 1" + strings.Repeat("0", 60000) + "::float8::int",
	} {
		if _, err := Compile(where, nil, sample(), nil); err == nil {
			t.Errorf("%.40s… compiles", where)
		}
	}
	if took := time.Since(start); took > 60*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestValidateAsksPostgres(t *testing.T) {
	conn := connect(t)
	exec(t, conn, `CREATE TABLE items (id bigint, t text)`)
	table := Table{Schema: "public", Name: "items", Columns: []Column{{Name: "id", TypeOID: 20}, {Name: "t", TypeOID: 25}, {Name: "gone", TypeOID: 25}}}
	validate := func(table Table, where string) error {
		p, err := Compile(where, nil, table, nil)
		if err != nil {
			t.Fatal(err)
		}
		return Validate(t.Context(), conn, table, p)
	}
	for _, where := range []string{"", "id = 1 and t < 'x'"} {
		if err := validate(table, where); err != nil {
			t.Errorf("%q: %v", where, err)
		}
	}
	want := `where clause: the table has changed: column "gone" does not exist`
	if err := validate(table, "gone = 'x'"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	missing := table
	missing.Name = "nothing"
	want = `where clause: table "public"."nothing" does not exist`
	if err := validate(missing, "id = 1"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var e *Error
	if err := Validate(ctx, conn, table, compile(t, "")); !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Errorf("got %v, want a cancellation that does not blame the clause", err)
	}
}

// A list may hold the same text in two types, which are two values.
func TestMembersOfOneTextAndTwoTypesAreBothKept(t *testing.T) {
	row := sampleRow()
	row[5] = []byte("1.1") // real
	for _, where := range []string{"f4 in ('1.1'::float8, '1.1'::real)", "f4 in ('1.1'::real, '1.1'::float8)"} {
		if !compile(t, where).Match(row) {
			t.Errorf("%s does not match 1.1", where)
		}
	}
	if compile(t, "f4 in ('1.1'::float8, '1.2'::float8)").Match(row) {
		t.Error("1.1 as a real is taken for 1.1 as a double precision")
	}
}
