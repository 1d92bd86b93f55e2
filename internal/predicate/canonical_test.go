package predicate

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// shuffled writes AND and OR of atoms as a tree, in a random order, with random repeats, brackets and spellings.
func shuffled(rng *rand.Rand, tree []any, top bool) string {
	op, _ := tree[0].(string)
	operands := make([]string, 0, len(tree))
	for _, x := range tree[1:] {
		repeats := 1 + rng.IntN(4)/3
		for range repeats {
			switch x := x.(type) {
			case []string:
				operands = append(operands, x[rng.IntN(len(x))])
			case []any:
				operands = append(operands, shuffled(rng, x, false))
			}
		}
	}
	rng.Shuffle(len(operands), func(i, j int) { operands[i], operands[j] = operands[j], operands[i] })
	if rng.IntN(2) == 0 && len(operands) > 2 { // a bracket within is the same list
		operands = append([]string{"(" + operands[0] + " " + op + " " + operands[1] + ")"}, operands[2:]...)
	}
	s := strings.Join(operands, pickOne(rng, " ", "\n", " /* x */ ")+op+" ")
	if !top {
		s = "(" + s + ")"
	}
	return s
}

func pickOne(rng *rand.Rand, from ...string) string { return from[rng.IntN(len(from))] }

func TestOrderAndRepeatsOfOperandsDoNotMakeAnotherShape(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 4))
	for _, tree := range [][]any{
		{"AND", []string{"id = 1", "1 = id", "ID = '1'", "id=1.0"}, []string{"flag", "(flag)"}, []string{"t like 'a%'", "t ~~ 'a%'"}},
		{
			"or",
			[]string{"i4 in (1, 2)", "i4 in (2,1,1)", "i4 = any ('{1,2}')"},
			[]any{"and", []string{"n = 1.5", "n = 1.50"}, []string{"not flag", "NOT (flag)"}},
			[]string{"lower(t) in ('a', 'b')", "lower(t) IN ('b','a')"},
		},
		{"and", []any{"or", []string{"id = 1"}, []string{"id + 1 > 5", "(id + 1) > (5)"}, []any{"and", []string{"flag2"}, []string{"flag"}}}, []string{"tags @> '{a}'", "tags @> array['a']"}},
	} {
		want := ""
		for range 200 {
			where := shuffled(rng, tree, true)
			got := compile(t, where).Canonical()
			if want == "" {
				want = got
			}
			if got != want {
				t.Fatalf("%s\n is %s,\n another order was %s", where, got, want)
			}
		}
	}
}

// What costs more than it should, or an amount of stack, for rows and clauses that somebody made for that.
func TestHostileExpressionsTakeBoundedTime(t *testing.T) {
	row := sampleRow()
	table := sample()
	for i, c := range table.Columns {
		switch c.Name {
		case "doc":
			row[i] = []byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))
		case "t", "v":
			row[i] = []byte(strings.Repeat("a", 20_000))
		case "n":
			row[i] = []byte("1" + strings.Repeat("0", 131_000))
		case "nums":
			row[i] = []byte("{" + strings.Repeat("1,", 50_000) + "1}")
		}
	}
	start := time.Now()
	for _, where := range []string{
		"t like v || 'b'", "t like '%' || v || '%b'", "n * n * n > n", "n::text = t", "doc @> (doc -> 0)", "doc = doc -> 0", "nums && nums", "t::numeric > 1",
		"nums || nums = nums", strings.Repeat("lower(", 60) + "t" + strings.Repeat(")", 60) + " = 'x'", "doc" + strings.Repeat("->0", 100) + " = doc",
		"i4" + strings.Repeat("+i4", 100) + " > 5", "price" + strings.Repeat("*price", 80) + " > 5",
	} {
		began := time.Now()
		compile(t, where).Match(row)
		t.Logf("%v %.60s", time.Since(began), where)
	}
	for _, where := range []string{
		"t" + strings.Repeat("::int::text", 60) + " = 'x'", strings.Repeat("|/ ", 100) + "f8 > 1", "n" + strings.Repeat("*n", 10_000) + " > 1", "t" + strings.Repeat("||t", 10_000) + " = 'x'",
		strings.Repeat("case when t ~ 'x' then ", 300) + "t" + strings.Repeat(" end", 300) + " = 'x'", "f8 ^ 8 ^ 8 ^ 8 > 1", "doc = '" + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "'",
		"nums = '{" + strings.Repeat("1,", 20_000) + "1}'", "nums = '" + strings.Repeat("{", 30_000) + "'", "nums" + strings.Repeat("[1]", 10_000) + " = 1",
	} {
		began := time.Now()
		if _, err := Compile(where, nil, table, nil); err == nil {
			t.Errorf("%.60s… compiles", where)
		}
		t.Logf("%v %.60s", time.Since(began), where)
	}
	// About two seconds; the margin is for the race detector on a busy machine.
	if took := time.Since(start); took > 60*time.Second {
		t.Errorf("took %v", took)
	}
}
