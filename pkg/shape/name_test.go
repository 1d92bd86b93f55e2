package shape_test

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/shape"
)

func TestParseTable(t *testing.T) {
	for text, want := range map[string][2]string{
		"tasks":            {"public", "tasks"},
		"Tasks":            {"public", "tasks"},
		"App.Tasks":        {"app", "tasks"},
		`"App"."My Tasks"`: {"App", "My Tasks"},
		`app."My.Tasks"`:   {"app", "My.Tasks"},
		`"a""b".c`:         {`a"b`, "c"},
		`""""`:             {"public", `"`},
		"_x$1":             {"public", "_x$1"},
		"größe":            {"public", "größe"},
		"ÄPFEL":            {"public", "Äpfel"}, // Postgres folds ASCII only
		`"a` + "\n" + `b"`: {"public", "a\nb"},
	} {
		schema, table, err := shape.ParseTable(text)
		if err != nil || schema != want[0] || table != want[1] {
			t.Errorf("ParseTable(%q) = %q, %q, %v; want %q", text, schema, table, err, want)
		}
	}
	for text, says := range map[string]string{
		"": "missing", ".": "missing", "a.": "missing", ".a": "missing", " a": "missing", `""`: "empty", `a.""`: "empty",
		"a.b.c": "want <table> or <schema>.<table>", "a b": "quote names", "a;drop table b": "quote names", `a"b"`: "quote names",
		`"a`: "not closed", "a\xffB": "UTF-8", `"` + "\xff" + `"` + ".b": "UTF-8", `"a"b`: "quote names", `"a""`: "not closed", "a-b": "quote names", "a*": "quote names",
	} {
		if schema, table, err := shape.ParseTable(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("ParseTable(%q) = %q, %q, %v; want an error that says %q", text, schema, table, err, says)
		}
	}
}

// A name that was understood can be written in quotes, and means the same then.
func FuzzParseTable(f *testing.F) {
	for _, text := range []string{"tasks", "App.Tasks", `"a""b"."c.d"`, "a.b.c", `"`, "ÄPFEL", "a\xff"} {
		f.Add(text)
	}
	quote := func(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
	f.Fuzz(func(t *testing.T, text string) {
		schema, table, err := shape.ParseTable(text)
		if err != nil {
			if schema != "" || table != "" {
				t.Fatalf("ParseTable(%q) = %q, %q with %v", text, schema, table, err)
			}
			return
		}
		if schema == "" || table == "" {
			t.Fatalf("ParseTable(%q) = %q, %q: an empty name", text, schema, table)
		}
		s, tab, err := shape.ParseTable(quote(schema) + "." + quote(table))
		if err != nil || s != schema || tab != table {
			t.Fatalf("ParseTable(%q) = %q, %q; in quotes %q, %q, %v", text, schema, table, s, tab, err)
		}
	})
}
