package valueset

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Counts are values with their counts, or with the changes of these: a count may
// be negative, and none is zero. A value may carry a mark, and is kept
// with a count of zero while it does. It takes little memory; see Table. Reading is safe for
// concurrent use while nobody changes it. The zero value is empty.
type Counts struct {
	t      Table
	marked int
	buf    [binary.MaxVarintLen64 + 1]byte
}

// A count is stored in its shortest form with the mark as its lowest bit, so that a mark can be
// taken off where it stands.
const markBit = 1

// Add changes a value's count by n, and returns it.
func (c *Counts) Add(value []byte, n int64) int64 {
	old, marked := c.get(value)
	n += old
	if n == 0 && !marked {
		c.t.Delete(value)
	} else {
		c.set(value, n, marked)
	}
	return n
}

// Get is a value's count.
func (c *Counts) Get(value []byte) int64 {
	n, _ := c.get(value)
	return n
}

// Mark marks a value.
func (c *Counts) Mark(value []byte) {
	if n, marked := c.get(value); !marked {
		c.set(value, n, true)
		c.marked++
	}
}

// Marked reports whether a value is marked.
func (c *Counts) Marked(value []byte) bool {
	_, marked := c.get(value)
	return marked
}

// Marks is how many values are marked.
func (c *Counts) Marks() int { return c.marked }

// Unmark takes all marks off.
func (c *Counts) Unmark() {
	if c.marked == 0 {
		return
	}
	c.marked = 0
	c.t.edit(func(_, count []byte) (keep bool) {
		count[0] &^= markBit
		n, _ := decode(count)
		return n != 0
	})
}

func (c *Counts) get(value []byte) (n int64, marked bool) {
	b, ok := c.t.Get(value)
	if !ok {
		return 0, false
	}
	return decode(b)
}

func (c *Counts) set(value []byte, n int64, marked bool) {
	c.t.Set(value, encode(c.buf[:0], n, marked))
}

// encode appends a count: six bits with sign and mark, then seven a byte, the lowest first.
func encode(b []byte, n int64, marked bool) []byte {
	u := uint64(n)<<1 ^ uint64(n>>63)
	first := byte(u&(1<<6-1)) << 1
	if marked {
		first |= markBit
	}
	if u >>= 6; u == 0 {
		return append(b, first)
	}
	return binary.AppendUvarint(append(b, first|1<<7), u)
}

func decode(b []byte) (n int64, marked bool) {
	u := uint64(b[0]>>1) & (1<<6 - 1)
	if b[0] >= 1<<7 {
		more, _ := binary.Uvarint(b[1:])
		u |= more << 6
	}
	return int64(u>>1) ^ -int64(u&1), b[0]&markBit != 0
}

// Len is the number of values, those with a mark and no count among them.
func (c *Counts) Len() int { return c.t.Len() }

// Bytes is the size of the values and their counts, about.
func (c *Counts) Bytes() int { return c.t.Bytes() }

// Clear removes everything.
func (c *Counts) Clear() { c.t.Clear(); c.marked = 0 }

// All calls f with every value and its count, in no order, until f returns false. The value is valid
// until the next change, which must not be made by f.
func (c *Counts) All(f func(value []byte, n int64) bool) {
	c.t.All(func(value, count []byte) bool {
		n, _ := decode(count)
		return n == 0 || f(value, n)
	})
}

// EachMarked is All for the values that are marked, without their counts.
func (c *Counts) EachMarked(f func(value []byte) bool) {
	if c.marked == 0 {
		return
	}
	c.t.All(func(value, count []byte) bool {
		_, marked := decode(count)
		return !marked || f(value)
	})
}

// InOrder is All in the order of values. It takes 8 bytes a value for as long as it runs.
func (c *Counts) InOrder(f func(value []byte, n int64) bool) {
	places := make([]uint64, 0, c.t.Len())
	for _, s := range c.t.slots {
		if s != 0 && s != gone {
			places = append(places, s)
		}
	}
	slices.SortFunc(places, func(a, b uint64) int {
		x, _ := c.t.entry(a)
		y, _ := c.t.entry(b)
		return bytes.Compare(x, y)
	})
	for _, s := range places {
		value, count := c.t.entry(s)
		if n, _ := decode(count); n != 0 && !f(value, n) {
			return
		}
	}
}
