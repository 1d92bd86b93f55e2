package predicate

import (
	"errors"
	"testing"
)

// FuzzCompile looks for panics, and for accepted clauses whose SQL does not mean the same when read again.
func FuzzCompile(f *testing.F) {
	for _, where := range []string{
		"id = 42", "t like $1 escape '!'", "flag and not (i4 in (1, null, 2.5))", "c between 'a' and 'b '::text", "d < timestamp '2024-01-01'",
		"u = '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'::uuid", "(n > 1e5) is not unknown", "f4 in (1.1, 'NaN')", "true group by 1", "E'\\xff' = t",
		"i4 + $1 * 2 > i2 / (id - 5)", "t::int = 5 and coalesce(f8, 1) ^ 2 < 3", "tags || $1 @> array['a', v]", "doc->'a'->>0 like lower(t) || '%'", "doc #> '{a,0}' = doc['a'][-1] and doc #>> tags = 'x'", "nums[1:2] = '{1,2}'",
		"ts + iv > d - interval '1 day 02:03' at time zone 'UTC' at time zone '+02'", "feeling is distinct from $1", "tm - '1 hour' between symmetric '12:00' and '3:00'",
		"case when t ~ 'x' then t::int end = 1", "i4 = any ('{1,2,NULL}') and t like all ('{a%,_}')", "greatest(n, price) % 3 <> div(id, 7)", "|/ f8 > @ f4 and not nullif(flag, flag2)",
		"case i4 when 1 then t when $1 then v else c end ~* '^(a|b)+[^c]{2,3}$'", "(i4, t) in ((1, 'a'), ($1, v)) or (i4, d) <= (2, '2024-01-01')", "substring(t from 2 for i4) ^@ left(v, -1)",
		"round(n * 1.5, 2) > floor(f8)::numeric and extract(epoch from ts - d) > date_part('dow', d)", "nums = array[$1, null]::int[] and cardinality(tags) = array_length(nums, 1)",
		"0 ^ 1 = 0", "jsonb_array_length(doc) = 1 or feeling = any ('{ok}') or whole + 1 = i4 or array[whole] = nums or period is null",
	} {
		f.Add(where, "1")
	}
	f.Fuzz(func(t *testing.T, where, param string) {
		for _, params := range [][]*string{nil, {&param}, {nil}} {
			p, err := Compile(where, params, sample(), nil)
			if err != nil {
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Fatalf("%T", err)
				}
				continue
			}
			row := sampleRow()
			again, err := Compile(p.SQL(), nil, sample(), nil)
			if err != nil {
				t.Fatalf("%q prints as %s, which does not compile: %v", where, p.SQL(), err)
			}
			if again.SQL() != p.SQL() || again.root.eval(row) != p.root.eval(row) {
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
		"i4 * i4 - i2 > id / i4 or id % i2 = 1 or n * n + price / n > n - 1 or f8 * f8 / f4 < |/ f8 or (n::int & i4) > 0",
		"t::int > 1 or t::date > d or v::timestamp < ts or t::timestamptz = tz or t::uuid = u or v::numeric = n or t::float8 > 1 or t::float4 > 1 or t::bool or v::time = tm",
		"lower(t) || upper(v) like v or length(c) > 1 or concat(t, d, iv, ts, f8, f4, n, u, doc) > v",
		"d + i4 > d - i2 or ts + iv < ts - iv or (ts - d) * 3 > iv or tm + iv > tm or justify_interval(iv) = justify_days(iv) or tz at time zone '+03' > ts or iv::text = t",
		"tags || v::text @> tags or tags[1:2] = tags[i2:] or tags[i4] = t or t = any (tags) or nums && '{1}' or i4 > all (nums) or array_ndims(nums) > 1 or (nums || i4)::text[] = tags",
		"doc -> 'a' = doc or doc ->> 0 = t or doc @> '{\"a\": [1]}' or doc <@ '[1, [2]]' or doc ? v or doc ?| tags or doc -> t -> 1 @> doc or doc #>> tags = t or doc['a'][0] = doc or feeling::text = t",
		"left(t, i4) = right(v, i2) or substr(t, i4, i2) = btrim(v) or split_part(t, v, 2) = replace(c, 'a', 'b') or strpos(t, v) > 1 or starts_with(t, v) or reverse(t) ~ 'a.*b' or octet_length(c) > 2",
		"case when flag then round(n, 2) else trunc(price) end > sign(n) or floor(f8) > 1 or ceil(i4) > 2 or v ~* '^[a-z]+\\d?$' or whole > 1 or period is null",
		"extract(week from d) = 1 or extract(epoch from iv) > 1 or date_part('second', tm) > 1 or date_trunc('week', ts) = ts or date_trunc('day', tz, 'UTC') = tz or extract(century from ts) = 1",
		"cardinality(tags) > array_length(nums, i4) or jsonb_array_length(doc) > 1 or jsonb_typeof(doc) = t",
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
