package valueset

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A count is read as it was written, in the same room with a mark and without one.
func TestCountsAndMarksAreReadBack(t *testing.T) {
	special := rapid.SampledFrom([]int64{0, 1, -1, 31, 32, -32, -33, math.MaxInt64, math.MinInt64})
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(special, rapid.Int64Range(-100, 100), rapid.Int64()).Draw(t, "n")
		plain, marked := encode(nil, n, false), encode(nil, n, true)
		if got, mark := decode(plain); got != n || mark {
			t.Fatalf("%d reads as %d, %t", n, got, mark)
		}
		if got, mark := decode(marked); got != n || !mark {
			t.Fatalf("%d with a mark reads as %d, %t", n, got, mark)
		}
		if marked[0] &^= markBit; !bytes.Equal(plain, marked) {
			t.Fatalf("%d is %x, and %x with the mark taken off", n, plain, marked)
		}
	})
}

// Counts with marks are two maps, whatever happens to them in whatever order.
func TestCountsAreMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Counts
		counts, marks := map[string]int64{}, map[string]bool{}
		keys := rapid.IntRange(1, 100).Draw(t, "distinct keys")
		for range rapid.IntRange(0, 500).Draw(t, "steps") {
			key := fmt.Sprint(rapid.IntRange(0, keys).Draw(t, "key"))
			switch op := rapid.IntRange(0, 39).Draw(t, "op"); {
			case op < 28:
				n := rapid.OneOf(rapid.Int64Range(-2, 2), rapid.Int64Range(-1<<40, 1<<40)).Draw(t, "n")
				if rapid.IntRange(0, 3).Draw(t, "back") == 0 {
					n = -counts[key]
				}
				if counts[key] += n; c.Add([]byte(key), n) != counts[key] {
					t.Fatalf("Add of %d to %q does not return %d", n, key, counts[key])
				}
			case op < 38:
				c.Mark([]byte(key))
				marks[key] = true
			case op == 38:
				c.Unmark()
				clear(marks)
			default:
				c.Clear()
				clear(counts)
				clear(marks)
			}
			if counts[key] == 0 {
				delete(counts, key)
			}
			if c.Get([]byte(key)) != counts[key] || c.Marked([]byte(key)) != marks[key] {
				t.Fatalf("%q has count %d, mark %t; want %d, %t", key, c.Get([]byte(key)), c.Marked([]byte(key)), counts[key], marks[key])
			}
		}
		all, marked := map[string]int64{}, map[string]bool{}
		c.All(func(k []byte, n int64) bool { all[string(k)] = n; return true })
		c.EachMarked(func(k []byte) bool { marked[string(k)] = true; return true })
		if !maps.Equal(all, counts) || !maps.Equal(marked, marks) || c.Marks() != len(marks) {
			t.Fatalf("counts %v and %d marks %v; want %v and %v", all, c.Marks(), marked, counts, marks)
		}
		var order []string
		c.InOrder(func(k []byte, n int64) bool {
			if order = append(order, string(k)); n != counts[string(k)] {
				t.Fatalf("%q has count %d in order, want %d", k, n, counts[string(k)])
			}
			return true
		})
		if !slices.Equal(order, slices.Sorted(maps.Keys(counts))) {
			t.Fatalf("the order is %q", order)
		}
	})
}
