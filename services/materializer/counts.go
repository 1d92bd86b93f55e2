package materializer

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/shapebus/shapebus/pkg/wire"
)

// counts is a multiset of values, or of changes of one: a value's count may be
// negative, and none is zero. Not safe for concurrent use. The zero value is empty.
type counts struct {
	t   table
	buf [binary.MaxVarintLen64]byte
}

// Add changes a value's count by n.
func (c *counts) Add(value []byte, n int64) {
	if n += c.Get(value); n == 0 {
		c.t.Delete(value)
		return
	}
	c.t.Set(value, c.buf[:binary.PutVarint(c.buf[:], n)])
}

// Get is a value's count.
func (c *counts) Get(value []byte) int64 {
	b, ok := c.t.Get(value)
	if !ok {
		return 0
	}
	n, _ := binary.Varint(b)
	return n
}

// Len is the number of distinct values.
func (c *counts) Len() int { return c.t.Len() }

// Clear removes everything.
func (c *counts) Clear() { c.t.Clear() }

// All calls f with every value, in no order, until f returns false.
func (c *counts) All(f func(value []byte, n int64) bool) {
	c.t.All(func(value, count []byte) bool {
		n, _ := binary.Varint(count)
		return f(value, n)
	})
}

// Deltas returns everything in the order of values. The values share one
// string: a million of them would otherwise be a million small ones.
func (c *counts) Deltas() []wire.Delta {
	if c.Len() == 0 {
		return nil
	}
	var keys strings.Builder
	keys.Grow(c.t.Bytes())
	ends := make([]int, 0, c.Len())
	deltas := make([]wire.Delta, 0, c.Len())
	c.All(func(value []byte, n int64) bool {
		keys.Write(value)
		ends = append(ends, keys.Len())
		deltas = append(deltas, wire.Delta{Count: n})
		return true
	})
	all, from := keys.String(), 0
	for i := range deltas {
		deltas[i].Key, from = all[from:ends[i]], ends[i]
	}
	slices.SortFunc(deltas, func(a, b wire.Delta) int { return strings.Compare(a.Key, b.Key) })
	return deltas
}
