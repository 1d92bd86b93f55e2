package predicate

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestExpressionsAgreeWithPostgres(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; again with: go test ./internal/predicate -run %s -predicate.seed=%d", seed, t.Name(), seed)
	conn := connect(t)
	rng := rand.New(rand.NewPCG(seed, 3))
	const rowsPerTable, clausesPerTable = 150, 200
	var o *oracle
	reasons := make(map[string]int)
	pairs, refused, both := 0, 0, 0
	for i := 0; pairs < *pairsFlag; i++ {
		if i%clausesPerTable == 0 {
			o = newOracle(t, conn, rng, rowsPerTable, i/clausesPerTable%3 > 0)
		}
		clause := o.gen.test(1 + rng.IntN(5))
		p, err := Compile(clause, nil, o.table, nil)
		if err != nil {
			refused++
			reasons[shortReason(err.Error())]++
			continue
		}
		if o.compareExpression(t, clause, p) {
			both++
		}
		pairs += rowsPerTable
		if t.Failed() && i > 100 {
			break
		}
	}
	t.Logf("%d pairs agree, %d clauses refused, %d compared with the user's text too", pairs, refused, both)
	for r, n := range reasons {
		t.Logf("%6d %s", n, r)
	}
	if refused*rowsPerTable > pairs || both*rowsPerTable*4 < pairs {
		t.Errorf("too many of the random clauses are refused")
	}
}

func shortReason(s string) string {
	_, s, _ = strings.Cut(s, ": ")
	return s[:min(len(s), 70)]
}

// compareExpression compares a clause with Postgres, row by row; true if Postgres also has an answer to the user's text.
func (o *oracle) compareExpression(t *testing.T, clause string, p *Predicate) bool {
	t.Helper()
	ctx := t.Context()
	again, err := Compile(p.SQL(), nil, o.table, nil)
	if err != nil {
		t.Errorf("%s prints as\n %s, which is refused: %v", clause, p.SQL(), err)
		return false
	}
	if again.SQL() != p.SQL() {
		a, b := p.SQL(), again.SQL()
		n := 0
		for n < min(len(a), len(b)) && a[n] == b[n] {
			n++
		}
		n = max(n-60, 0)
		t.Errorf("%s prints as\n %s, which prints as\n %s", clause, a[n:], b[n:])
	}
	printed, err := o.truths(ctx, p.SQL(), nil)
	if err != nil {
		t.Errorf("Postgres refuses %s\n of %s: %v", p.SQL(), clause, err)
		return false
	}
	theirs, theirErr := o.truths(ctx, clause, nil)
	// A pattern that ends with the escape character is NULL to us; Postgres raises an error only if it gets there.
	lenient := strings.Contains(p.SQL(), quoteLiteral(wholePattern.String()))
	for i, row := range o.rows {
		ours := "fnt"[p.root.eval(row)]
		if "fnt"[again.root.eval(row)] != ours {
			t.Errorf("read again, %s\n of %s differs", p.SQL(), clause)
			break
		}
		if printed[i] != ours {
			t.Errorf("we say %c, Postgres %c: %s -- of %s", ours, printed[i], o.reproduction(p, row, p.SQL()), clause)
			break
		}
		if o.tame && theirErr == nil && !lenient && theirs[i] != ours {
			t.Errorf("we say %c, Postgres %c for the user's text: %s -- printed %s", ours, theirs[i], o.reproduction(p, row, clause), p.SQL())
			break
		}
	}
	o.checkAccess(t, p)
	return theirErr == nil
}
