package change_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

func column(name string, oid uint32, mod int32) change.Column {
	return change.Column{Name: name, Type: oid, TypeMod: mod}
}

func tasks(alter func(*change.Relation)) *change.Relation {
	r := &change.Relation{
		OID: 16385, Schema: "public", Name: "tasks", Identity: change.IdentityFull,
		Columns: []change.Column{column("id", 20, -1), column("title", 1043, 24), column("done", 16, -1)},
	}
	if alter != nil {
		alter(r)
	}
	return r
}

func TestDiffSaysWhatChanged(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter func(*change.Relation)
		want  string
	}{
		{"nothing", func(*change.Relation) {}, ""},
		{
			"dropped and created again, which outweighs the rest",
			func(r *change.Relation) { r.OID, r.Columns = 99, nil },
			"table public.tasks was dropped and created again",
		},
		{"renamed", func(r *change.Relation) { r.Name = "jobs" }, "table public.tasks was renamed to public.jobs"},
		{"moved to another schema", func(r *change.Relation) { r.Schema = "old" }, "table public.tasks was renamed to old.tasks"},
		{
			"replica identity",
			func(r *change.Relation) { r.Identity = change.IdentityDefault },
			"replica identity of public.tasks changed from FULL to DEFAULT",
		},
		{"a column dropped", func(r *change.Relation) { r.Columns = slices.Delete(r.Columns, 1, 2) }, "column title of public.tasks was dropped or renamed"},
		{"a column renamed", func(r *change.Relation) { r.Columns[1].Name = "name" }, "column title of public.tasks was dropped or renamed"},
		{"a column retyped", func(r *change.Relation) { r.Columns[1].Type = 25 }, "column title of public.tasks changed its type"},
		{"a column's length changed", func(r *change.Relation) { r.Columns[1].TypeMod = 104 }, "column title of public.tasks changed its type"},
		{
			"a column added at the end",
			func(r *change.Relation) { r.Columns = append(r.Columns, column("due", 1082, -1)) },
			"column due was added to public.tasks",
		},
		{
			"a column added in front",
			func(r *change.Relation) { r.Columns = slices.Insert(r.Columns, 0, column("due", 1082, -1)) },
			"column due was added to public.tasks",
		},
		{"columns in another order", func(r *change.Relation) { slices.Reverse(r.Columns) }, "columns of public.tasks changed their order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tasks(nil).Diff(tasks(c.alter)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// Stored fragments name their schema by fingerprint: another value for the same schema would orphan them.
func TestFingerprintIsStable(t *testing.T) {
	if got, want := tasks(nil).Fingerprint(), "9e098109716f74da"; got != want {
		t.Errorf("fingerprint %s, want %s", got, want)
	}
}

func TestFingerprintTellsTrickyNamesApart(t *testing.T) {
	columns := func(names ...string) []change.Column {
		var c []change.Column
		for _, n := range names {
			c = append(c, column(n, 25, -1))
		}
		return c
	}
	seen := map[string]string{}
	for i, r := range []change.Relation{
		{Schema: "a", Name: "b.c"},
		{Schema: "a.b", Name: "c"},
		{Schema: "ab", Name: "c"},
		{Schema: "a", Name: "bc"},
		{Schema: "", Name: "abc"},
		{Schema: "1:a", Name: "b"},
		{Schema: "1", Name: "a:b"},
		{Schema: "a", Name: "b", Columns: columns("x", "y")},
		{Schema: "a", Name: "b", Columns: columns("xy")},
		{Schema: "a", Name: "b", Columns: columns("y", "x")},
		{Schema: "a", Name: "b", Columns: columns("x252:-11", "y")},
		{Schema: "a", Name: "b", Columns: columns("x", "2:252:-1", "y")},
		{Schema: "a", Name: "b", Columns: columns("x\x00y")},
		{Schema: "a", Name: "b", Columns: columns("x\x00", "y")},
		{OID: 1, Schema: "a", Name: "b"},
		{Schema: "a", Name: "b", Identity: change.IdentityFull},
		{Schema: "a", Name: "b", Identity: change.IdentityNothing},
		{Schema: "a", Name: "b", Columns: []change.Column{column("x", 1, 23)}},
		{Schema: "a", Name: "b", Columns: []change.Column{column("x", 12, 3)}},
		{Schema: "a", Name: "b", Columns: []change.Column{column("x", 1, -1)}},
	} {
		fp, what := r.Fingerprint(), fmt.Sprintf("%d: %+v", i, r)
		if other, taken := seen[fp]; taken {
			t.Errorf("one fingerprint %s for\n%s\n%s", fp, other, what)
		}
		seen[fp] = what
	}
}

// A shape ends when its table's fingerprint changes, with Diff as the reason: the two must agree on what a change is.
func TestFingerprintChangesIfAndOnlyIfDiffNamesAChange(t *testing.T) {
	relation := rapid.Custom(func(t *rapid.T) *change.Relation {
		columns := rapid.Custom(func(t *rapid.T) change.Column {
			return change.Column{
				Name:    rapid.SampledFrom([]string{"a", "b", "ab", "1:a"}).Draw(t, "name"),
				Type:    rapid.Uint32Range(1, 2).Draw(t, "type"),
				TypeMod: rapid.Int32Range(-1, 0).Draw(t, "mod"),
			}
		})
		return &change.Relation{
			OID:      rapid.Uint32Range(1, 2).Draw(t, "oid"),
			Schema:   rapid.SampledFrom([]string{"s", "t"}).Draw(t, "schema"),
			Name:     rapid.SampledFrom([]string{"s", "t"}).Draw(t, "table"),
			Identity: rapid.SampledFrom([]change.Identity{change.IdentityFull, change.IdentityDefault}).Draw(t, "identity"),
			Columns:  rapid.SliceOfNDistinct(columns, 0, 3, func(c change.Column) string { return c.Name }).Draw(t, "columns"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		r, s := relation.Draw(t, "r"), relation.Draw(t, "s")
		if rapid.Bool().Draw(t, "same table") {
			s.OID, s.Schema, s.Name, s.Identity = r.OID, r.Schema, r.Name, r.Identity
		}
		diff := r.Diff(s)
		if same := r.Fingerprint() == s.Fingerprint(); same != (diff == "") {
			t.Fatalf("fingerprints equal: %t, but the difference is %q", same, diff)
		}
	})
}
