package valueset

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
)

// Table maps byte strings to byte strings in little memory: an entry costs its
// bytes, two lengths, and 11 to 16 bytes of index. A Go map of strings costs
// three to five times as much for short ones, and the collector has to look at
// each of them. Keys and values are copied in. Not safe for concurrent use; it must not be
// changed while All runs. The zero value is empty.
//
// Entries stand in chunks, one behind the other: key length, key, value length,
// value. The index is an open hash table of places. What is removed or outgrown
// stays as garbage until the index is made again.
type Table struct {
	seed    maphash.Seed
	slots   []uint64 // 0: free; gone: removed; else the hash's high bits and a place
	filled  int      // slots that are not free
	live    int      // entries
	chunks  [][]byte
	bytes   int // of all entries, garbage among them
	garbage int
}

const (
	placeBits = 40 // of a slot; the rest holds bits of the hash
	placeMask = 1<<placeBits - 1
	gone      = ^uint64(0)

	chunkBits  = 16
	chunkBytes = 1 << chunkBits
	leastSlots = 8
)

// Len is the number of entries.
func (t *Table) Len() int { return t.live }

// Bytes is the size of the keys and values, about.
func (t *Table) Bytes() int { return t.bytes - t.garbage }

// Get returns a key's value, valid until the next change.
func (t *Table) Get(key []byte) (value []byte, ok bool) {
	if t.live == 0 {
		return nil, false
	}
	if i, found := t.find(key, maphash.Bytes(t.seed, key)); found {
		_, value = t.entry(t.slots[i])
		return value, true
	}
	return nil, false
}

// Set stores a key's value.
func (t *Table) Set(key, value []byte) {
	if (t.filled+1)*4 > len(t.slots)*3 || t.garbage > chunkBytes && t.garbage*2 > t.bytes {
		t.rebuild()
	}
	h := maphash.Bytes(t.seed, key)
	i, found := t.find(key, h)
	switch {
	case found:
		_, old := t.entry(t.slots[i])
		if len(old) == len(value) {
			copy(old, value)
			return
		}
		t.garbage += entrySize(key, old)
	default:
		t.live++
		if t.slots[i] == 0 {
			t.filled++
		}
	}
	t.slots[i] = h&^placeMask | t.put(key, value)
}

// Delete removes a key.
func (t *Table) Delete(key []byte) {
	if t.live == 0 {
		return
	}
	i, found := t.find(key, maphash.Bytes(t.seed, key))
	if !found {
		return
	}
	if t.remove(i); t.live == 0 {
		t.Clear()
	}
}

// Clear removes everything and frees the memory.
func (t *Table) Clear() { *t = Table{} }

// All calls f with every entry, in no order, until f returns false.
func (t *Table) All(f func(key, value []byte) bool) {
	for _, s := range t.slots {
		if s == 0 || s == gone {
			continue
		}
		if k, v := t.entry(s); !f(k, v) {
			return
		}
	}
}

// edit calls f with every entry, whose value it may change where it stands, and removes those that f does not keep.
func (t *Table) edit(f func(key, value []byte) (keep bool)) {
	for i, s := range t.slots {
		if s == 0 || s == gone {
			continue
		}
		if k, v := t.entry(s); !f(k, v) {
			t.remove(i)
		}
	}
	if t.live == 0 {
		t.Clear()
	}
}

// remove frees the slot of an entry.
func (t *Table) remove(slot int) {
	k, v := t.entry(t.slots[slot])
	t.garbage += entrySize(k, v)
	t.slots[slot] = gone
	t.live--
}

// find returns the slot of a key, or the one where it is to go.
func (t *Table) find(key []byte, h uint64) (slot int, found bool) {
	free := -1
	for i := t.first(h); ; i = t.next(i) {
		switch s := t.slots[i]; {
		case s == 0:
			if free < 0 {
				free = i
			}
			return free, false
		case s == gone:
			if free < 0 {
				free = i
			}
		case s>>placeBits == h>>placeBits:
			if k, _ := t.entry(s); bytes.Equal(k, key) {
				return i, true
			}
		}
	}
}

// first is the slot at which a hash is looked for first. The low bits choose it: the high ones, which slots
// keep, differ then. There may be any number of slots, since a power of 2 would be up to twice what is needed.
func (t *Table) first(h uint64) int { return int(h & math.MaxUint32 * uint64(len(t.slots)) >> 32) }

// next is the slot behind one.
func (t *Table) next(i int) int {
	if i++; i == len(t.slots) {
		return 0
	}
	return i
}

// put appends an entry and returns its place plus 1, so that no slot in use is 0.
func (t *Table) put(key, value []byte) uint64 {
	size := entrySize(key, value)
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last])+size > chunkBytes {
		// An entry larger than a chunk gets one of its own.
		var c []byte
		if last >= 0 {
			c = make([]byte, 0, max(size, chunkBytes))
		}
		t.chunks = append(t.chunks, c)
		last++
	}
	c := t.chunks[last]
	place := uint64(last)<<chunkBits | uint64(len(c))
	c = binary.AppendUvarint(c, uint64(len(key)))
	c = append(c, key...)
	c = binary.AppendUvarint(c, uint64(len(value)))
	t.chunks[last] = append(c, value...)
	t.bytes += size
	return place + 1
}

func (t *Table) entry(slot uint64) (key, value []byte) {
	place := slot&placeMask - 1
	b := t.chunks[place>>chunkBits][place&(chunkBytes-1):]
	n, w := binary.Uvarint(b)
	key, b = b[w:w+int(n):w+int(n)], b[w+int(n):]
	n, w = binary.Uvarint(b)
	return key, b[w : w+int(n) : w+int(n)]
}

// rebuild makes room in the index, and throws the garbage away once it is half
// of what there is.
func (t *Table) rebuild() {
	if len(t.slots) == 0 {
		t.seed = maphash.MakeSeed()
	}
	old := *t
	n := max(leastSlots, (t.live+1)*2)
	t.slots, t.filled = make([]uint64, n), t.live
	compact := t.garbage*2 > t.bytes
	if compact {
		t.chunks, t.bytes, t.garbage = nil, 0, 0
	}
	for _, s := range old.slots {
		if s == 0 || s == gone {
			continue
		}
		key, value := old.entry(s)
		if compact {
			s = s&^placeMask | t.put(key, value)
		}
		i := t.first(maphash.Bytes(t.seed, key))
		for t.slots[i] != 0 {
			i = t.next(i)
		}
		t.slots[i] = s
	}
}

func entrySize(key, value []byte) int {
	return uvarintSize(len(key)) + len(key) + uvarintSize(len(value)) + len(value)
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}
