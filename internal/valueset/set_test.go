package valueset_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/valueset"
)

func component() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			return nil
		}
		return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "text")...)
	})
}

func TestKeysAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(component(), 1, 4).Draw(t, "parts")
		var key []byte
		null := false
		for _, p := range parts {
			key = valueset.AppendComponent(key, p)
			null = null || p == nil
		}
		got, err := valueset.Components(key)
		if err != nil || len(got) != len(parts) {
			t.Fatalf("%d parts, %v; want %d", len(got), err, len(parts))
		}
		for i := range parts {
			if (parts[i] == nil) != (got[i] == nil) || !bytes.Equal(parts[i], got[i]) {
				t.Errorf("part %d: %q, want %q", i, got[i], parts[i])
			}
		}
		if valueset.HasNull(key) != null || valueset.HasNull(string(key)) != null {
			t.Errorf("HasNull is %t, want %t", !null, null)
		}
	})
}

// A view is the base and the deltas added to it, whatever is folded when.
func TestViewIsBaseAndDeltas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, model := &valueset.Set{}, map[string]int64{}
		keys := []string{"\x00", "\x02a", "\x02b", "\x02a\x00", "\x01"}
		view := valueset.NewView(base)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			k, n := rapid.SampledFrom(keys).Draw(t, "key"), rapid.Int64Range(-2, 3).Draw(t, "n")
			n = max(n, -model[k])
			was := model[k] > 0
			model[k] += n
			if got := view.Add([]byte(k), n); got != (was != (model[k] > 0)) {
				t.Fatalf("Add(%q, %d) says %t", k, n, got)
			}
			switch rapid.IntRange(0, 5).Draw(t, "then") {
			case 0:
				view.Fold()
			case 1:
				view.Draft().Add([]byte(k), 5) // leaves the view as it is
			}
		}
		rows, nulls, members := int64(0), false, 0
		for k, c := range model {
			rows += c
			if c > 0 {
				members++
				nulls = nulls || valueset.HasNull(k)
			}
			if view.Has([]byte(k)) != (c > 0) {
				t.Errorf("Has(%q) is %t with count %d", k, view.Has([]byte(k)), c)
			}
		}
		if view.Empty() != (rows == 0) || view.HasNull() != nulls {
			t.Errorf("empty %t, null %t; want %t, %t", view.Empty(), view.HasNull(), rows == 0, nulls)
		}
		view.Each(func(k []byte) bool {
			members--
			if model[string(k)] <= 0 {
				t.Errorf("Each gives %q, which is no member", k)
			}
			return true
		})
		if members != 0 {
			t.Errorf("Each missed %d members", members)
		}
	})
}
