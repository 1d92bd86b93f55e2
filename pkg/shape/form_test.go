package shape_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/shape"
)

func TestIdsAndHandlesHaveAForm(t *testing.T) {
	id := shape.Definition{Schema: "public", Table: "t"}.ID("true")
	handle := shape.NewHandle(id, time.Now())
	if !shape.IsID(id) || shape.IsHandle(id) {
		t.Errorf("%s is an id", id)
	}
	if !shape.IsHandle(handle) || shape.IsID(handle) || shape.IDOfHandle(handle) != id {
		t.Errorf("%s is a handle", handle)
	}
	for _, s := range []string{
		"", "_source", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg", "0123456789abcde.", "0123456789abcde\x00",
		"0123456789abcdef-", "0123456789abcdef-*", "0123456789abcdef->", "0123456789abcdef-A", "0123456789abcdef-1.2", "0123456789abcdef_1",
		"0123456789abcdef-" + strings.Repeat("0", 14), "0123456789abcdef-" + strings.Repeat("z", 13), strings.Repeat("a", 4000),
	} {
		if shape.IsID(s) || shape.IsHandle(s) {
			t.Errorf("%.40q is neither an id nor a handle", s)
		}
	}
}

func TestNamesAreThoseThatPostgresCanHave(t *testing.T) {
	for _, s := range []string{"a", `My "Table"`, strings.Repeat("x", shape.MaxName), "é.ü"} {
		if err := shape.CheckName(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		quoted := `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		if schema, table, err := shape.ParseTable(quoted + "." + quoted); err != nil || schema != s || table != s {
			t.Errorf("%s: %q, %q, %v", quoted, schema, table, err)
		}
	}
	if _, _, err := shape.ParseTable(strings.Repeat(`"`+strings.Repeat(`""`, shape.MaxName)+`".`, 2)[:2*(2*shape.MaxName+2)+1]); err != nil {
		t.Errorf("the longest name: %v", err)
	}
	for _, s := range []string{"", "a\x00b", "\xff", strings.Repeat("x", shape.MaxName+1)} {
		if shape.CheckName(s) == nil {
			t.Errorf("%.40q is taken", s)
		}
		if _, _, err := shape.ParseTable(`"` + s + `"`); err == nil {
			t.Errorf("table %.40q is taken", s)
		}
	}
	if _, _, err := shape.ParseTable(strings.Repeat("a", 100_000)); err == nil || len(err.Error()) > 200 {
		t.Errorf("a table of 100 KB: %.300v", err)
	}
}
