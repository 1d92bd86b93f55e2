package valueset_test

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/valueset"
)

// model is a multiset as a map, of keys by what they are called.
type model map[string]int64

func (m model) members() (members map[string]bool, rows int64, null bool) {
	members = map[string]bool{}
	for k, n := range m {
		if rows += n; n > 0 {
			members[k] = true
			null = null || valueset.HasNull(k)
		}
	}
	return members, rows, null
}

// looked is what a clause sees of a set.
type looked interface {
	Has(key []byte) bool
	Empty() bool
	HasNull() bool
	Each(f func(key []byte) bool)
}

// equal compares a set with its model, of which no count is negative.
func (m model) equal(t *rapid.T, name string, set looked) {
	members, rows, null := m.members()
	got := map[string]bool{}
	set.Each(func(k []byte) bool {
		if got[string(k)] {
			t.Fatalf("%s: Each gives %q twice", name, k)
		}
		got[string(k)] = true
		return true
	})
	if !maps.Equal(got, members) || set.Empty() != (rows == 0) || set.HasNull() != null {
		t.Fatalf("%s: members %v, empty %t, null %t; want %v, %t, %t", name, got, set.Empty(), set.HasNull(), members, rows == 0, null)
	}
	for k := range m {
		if set.Has([]byte(k)) != members[k] {
			t.Fatalf("%s: Has(%q) is %t", name, k, !members[k])
		}
	}
	left := rapid.IntRange(1, 3).Draw(t, "stop")
	set.Each(func([]byte) bool { left--; return left > 0 })
	if left < 0 {
		t.Fatalf("%s: Each goes on", name)
	}
}

// Whatever is added to a base, a view of it and drafts of the view, accepted or given up, in whatever order: each is what a
// plain map is.
func TestDraftsAndViewsAreMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := []string{"\x00", "\x01", "\x02a\x00"}
		for i := range rapid.IntRange(1, 40).Draw(t, "keys") {
			keys = append(keys, fmt.Sprintf("\x03%02d", i))
		}
		draw := func(of model) (string, int64) {
			k := rapid.SampledFrom(keys).Draw(t, "key")
			return k, max(rapid.Int64Range(-3, 3).Draw(t, "n"), -of[k])
		}
		base, view := &valueset.Set{}, model{}
		for range rapid.IntRange(0, 40).Draw(t, "in the base") {
			k, n := draw(view)
			base.Add([]byte(k), n)
			view[k] += n
		}
		v := valueset.NewView(base)
		var d *valueset.Draft
		var draft model
		marks := map[string]bool{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 19).Draw(t, "op"); {
			case d == nil && op < 8:
				k, n := draw(view)
				was := view[k] > 0
				view[k] += n
				if v.Changes([]byte(k), n) != (was != (view[k] > 0)) || v.Add([]byte(k), n) != (was != (view[k] > 0)) {
					t.Fatalf("Add(%q, %d) does not tell whether that changes it", k, n)
				}
			case d == nil && op < 11:
				v.Fold()
				if v.Differs() != 0 {
					t.Fatal("the folded view differs")
				}
			case d == nil:
				d, draft = v.Draft(), maps.Clone(view)
				clear(marks)
			case op < 14:
				k, n := draw(draft)
				draft[k] += n
				if got := d.Add([]byte(k), n); got != ((view[k] > 0) != (draft[k] > 0)) {
					t.Fatalf("Add(%q, %d) says %t", k, n, got)
				}
			case op < 17:
				k := rapid.SampledFrom(keys).Draw(t, "mark")
				d.Mark([]byte(k))
				marks[k] = true
			case op == 17:
				d, draft = nil, nil // given up
			default:
				if d.Accept() != v {
					t.Fatal("another view is returned")
				}
				view, d, draft = draft, nil, nil
			}
			view.equal(t, "view", v)
			if d == nil {
				continue
			}
			draft.equal(t, "draft", d)
			got := map[string]bool{}
			d.EachMarked(func(k []byte) bool { got[string(k)] = true; return true })
			if !maps.Equal(got, marks) || d.Marks() != len(marks) {
				t.Fatalf("%d marks %v, want %v", d.Marks(), got, marks)
			}
			for _, k := range keys {
				if d.Marked([]byte(k)) != marks[k] {
					t.Fatalf("%q is marked: %t", k, !marks[k])
				}
			}
		}
	})
}
