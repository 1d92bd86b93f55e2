package predicate

import (
	"testing"
)

// TestLabelsThatAClauseDoesNotKnowAreFound: only in columns whose order it asks for.
func TestLabelsThatAClauseDoesNotKnowAreFound(t *testing.T) {
	table := Table{Schema: "public", Name: "t", Columns: []Column{
		{Name: "a", TypeOID: 99998, TypeMod: -1, TypeName: "mood", Enum: []string{"sad", "ok"}},
		{Name: "b", TypeOID: 99998, TypeMod: -1, TypeName: "mood", Enum: []string{"sad", "ok"}},
		{Name: "n", TypeOID: 23, TypeMod: -1},
	}}
	row := func(a, b string) [][]byte { return [][]byte{[]byte(a), []byte(b), []byte("1")} }
	for _, tt := range []struct {
		where string
		row   [][]byte
		want  string
	}{
		{"a = 'ok'", row("new", "new"), ""},
		{"a < 'ok'", row("sad", "new"), ""},
		{"a < 'ok'", row("new", "sad"), "new in a"},
		{"'sad' <= b", row("ok", "new"), "new in b"},
		{"a < b", row("ok", "new"), "new in b"},
		{"n = 1 OR greatest(a, 'ok') = 'ok'", row("new", "sad"), "new in a"},
		{"n = 1 AND a BETWEEN 'sad' AND 'ok'", row("new", "sad"), "new in a"},
		{"(a, n) < ('ok', 1)", row("new", "sad"), "new in a"},
		{"CASE WHEN a < 'ok' THEN n END = 1", row("new", "sad"), "new in a"},
		{"a < ANY ('{ok,sad}')", row("new", "sad"), "new in a"},
		{"a < 'ok'", [][]byte{nil, nil, nil}, ""},
	} {
		p, err := Compile(tt.where, nil, table, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if label, column, found := p.Unordered(tt.row); found {
			got = label + " in " + column
		}
		if got != tt.want || p.Ordered() != (tt.where != "a = 'ok'") {
			t.Errorf("%s: of a row with %q and %q it does not know %q, want %q", tt.where, tt.row[0], tt.row[1], got, tt.want)
		}
	}
}
