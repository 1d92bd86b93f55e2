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

// A parameter that is an array may be written in JSON.
func TestArraysAsJSON(t *testing.T) {
	for _, c := range []struct{ where, json, literal string }{
		{"tags = $1", `[]`, `{}`},
		{"tags = $1", ` ["a", "b c", null, "NULL", "q\"x\\y", "{é}", "" ] `, `{a,"b c",NULL,"NULL","q\"x\\y","{é}",""}`},
		{"tags = $1", `[["a"],["b"]]`, `{{a},{b}}`},
		{"tags = $1", `[1, true, 1.50]`, `{1,t,1.50}`},
		{"id = ANY ($1)", `[1, 9007199254740993, "7", null]`, `{1,9007199254740993,7,NULL}`},
		{"flag = ANY ($1::bool[])", `[true, false]`, `{t,f}`},
		{"doc ?| $1", `["a", "b"]`, `{a,b}`},
		{"doc @> $1", `["a", 1]`, `[ "a",1]`}, // a document stays one
		{"t = $1", `["a"]`, `["a"]`},          // a text, too
	} {
		p, err := Compile(c.where, given(c.json), sample(), nil)
		if err != nil {
			t.Errorf("%s with %s: %v", c.where, c.json, err)
			continue
		}
		q, err := Compile(c.where, given(c.literal), sample(), nil)
		if err != nil || p.SQL() != q.SQL() {
			t.Errorf("%s means\n %s with %s and\n %s with %s, %v", c.where, p.SQL(), c.json, q.SQL(), c.literal, err)
		}
	}
	for _, where := range []string{"id = ANY (ARRAY[$1, $2]::bigint[])", "id = ANY (ARRAY[$1::bigint, $2])", "id = ANY (ARRAY[$1, '7']::int8[])", "id IN ($1, $2)"} {
		params := []string{"1", "7"}
		if strings.Contains(where, "'7'") {
			params = params[:1]
		}
		if got := compile(t, where, params...).SQL(); got != compile(t, "id IN (1, 7)").SQL() {
			t.Errorf("%s means %s", where, got)
		}
	}
	for _, wrong := range []string{`[`, `["a",]`, `[{"a": 1}]`, `["a"] ` + "x", `["\u0000"]`, `[[[[[[["a"]]]]]]]`} {
		if _, err := Compile("tags = $1", given(wrong), sample(), nil); err == nil {
			t.Errorf("%s is taken for an array", wrong)
		}
	}
	if _, err := Compile(`tags = '["a"]'`, nil, sample(), nil); err == nil {
		t.Error("a constant is taken for an array in JSON, which Postgres does not do")
	}
}
