package predicate

import (
	"strconv"
	"strings"
	"testing"
)

// given is parameters none of which is NULL.
func given(params ...string) []*string {
	out := make([]*string, len(params))
	for i := range params {
		out[i] = &params[i]
	}
	return out
}

// listed is parameters as a message shows them.
func listed(params []*string) []string {
	out := make([]string, len(params))
	for i, p := range params {
		if out[i] = "NULL"; p != nil {
			out[i] = strconv.Quote(*p)
		}
	}
	return out
}

// A parameter that is NULL means what the literal means.
func TestNullParameters(t *testing.T) {
	for _, where := range []string{
		"id = %", "id <> %", "id IN (%, 7)", "id NOT IN (%, 7)", "t LIKE %", "flag AND %::boolean IS NULL", "coalesce(%::int4, i4) = 5", "i4 BETWEEN % AND 9", "tags = %",
	} {
		p, err := Compile(strings.ReplaceAll(where, "%", "$1"), []*string{nil}, sample(), nil)
		if err != nil {
			if _, literal := Compile(strings.ReplaceAll(where, "%", "NULL"), nil, sample(), nil); literal == nil {
				t.Errorf("%s: %v", where, err)
			}
			continue
		}
		q, err := Compile(strings.ReplaceAll(where, "%", "NULL"), nil, sample(), nil)
		if err != nil {
			t.Errorf("only the literal is refused in %s: %v", where, err)
			continue
		}
		if p.Canonical() != q.Canonical() {
			t.Errorf("%s means\n %s with a parameter and\n %s with NULL", where, p.Canonical(), q.Canonical())
		}
	}
}
