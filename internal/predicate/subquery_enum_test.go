package predicate

import "testing"

// TestAnEnumsParameterIsOneInASubqueryToo: it finds its type on each side, and what the clause asks of its own table's columns is not asked
// of the subquery's rows.
func TestAnEnumsParameterIsOneInASubqueryToo(t *testing.T) {
	for where, ordered := range map[string]bool{
		"feeling < $1 AND id IN (SELECT id FROM items WHERE feeling < $1)": true,
		"feeling = $1 AND id IN (SELECT id FROM items WHERE feeling = $1)": false,
		"feeling < $1 AND id IN (SELECT pid FROM projects)":                false,
	} {
		p, err := Compile(where, given("ok"), sample(), sampleCatalog)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		if got := p.Subqueries()[0].Inner.Ordered(); got != ordered {
			t.Errorf("%s: the subquery's clause asks for an order: %t", where, got)
		}
	}
}
