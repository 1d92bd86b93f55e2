package valueset

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// A table is a map, whatever happens to it in whatever order.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table
		model := map[string]string{}
		keys := rapid.IntRange(1, 300).Draw(t, "distinct keys")
		large := rapid.Bool().Draw(t, "large")
		for range rapid.IntRange(0, 2000).Draw(t, "steps") {
			key := fmt.Sprint(rapid.IntRange(0, keys).Draw(t, "key"))
			if key == "7" {
				key = "" // an empty key is a key
			}
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case op < 6:
				size := rapid.IntRange(0, 40).Draw(t, "size")
				if large && op == 0 {
					size *= 5000 // some larger than a chunk
				}
				value := bytes.Repeat([]byte{byte(op)}, size)
				table.Set([]byte(key), value)
				model[key] = string(value)
			case op < 9:
				table.Delete([]byte(key))
				delete(model, key)
			default:
				if rapid.IntRange(0, 200).Draw(t, "clear") == 0 {
					table.Clear()
					clear(model)
				}
			}
			if got, ok := table.Get([]byte(key)); string(got) != model[key] {
				t.Fatalf("key %q has %d bytes (%t), want %d", key, len(got), ok, len(model[key]))
			}
		}
		got, size := map[string]string{}, 0
		table.All(func(k, v []byte) bool { got[string(k)] = string(v); size += entrySize(k, v); return true })
		if !maps.Equal(got, model) || table.Len() != len(model) || table.Bytes() != size {
			t.Fatalf("%d entries of %d bytes, Len %d, Bytes %d; want %d", len(got), size, table.Len(), table.Bytes(), len(model))
		}
	})
}

// What is removed and outgrown does not pile up.
func TestTableThrowsGarbageAway(t *testing.T) {
	var table Table
	key := []byte("the same key")
	for i := range 200_000 {
		table.Set(key, bytes.Repeat([]byte{1}, i%2+1))
		other := fmt.Appendf(nil, "key %d", i)
		table.Set(other, nil)
		table.Delete(other)
	}
	if kept := len(table.chunks) * chunkBytes; kept > 8*chunkBytes || len(table.slots) > 1024 {
		t.Errorf("%d bytes and %d slots are kept for one entry", kept, len(table.slots))
	}
}
