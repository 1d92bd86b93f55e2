package wire

import (
	"bytes"
	"iter"
	"slices"
)

// Deltas are changes of the counts of values, or counts, as a message has them: [[key, count] …]. A key is a value as
// package valueset encodes it. They take no more memory than in the message. The zero value has none.
type Deltas struct {
	n    int
	body []byte // without the array's length
}

// Delta is how the count of one value changed.
type Delta struct {
	Key   string
	Count int64
}

const deltaFields = 2

// DeltasOf makes deltas of some that are few.
func DeltasOf(few ...Delta) (d Deltas) {
	for _, one := range few {
		d = d.Append([]byte(one.Key), one.Count)
	}
	return d
}

// Grow returns d with room for so many bytes of keys, in so many deltas.
func (d Deltas) Grow(keys, n int) Deltas {
	const besides = 3 // of a short key with a small count
	return Deltas{d.n, slices.Grow(d.body, keys+n*besides)}
}

// Append returns d with one more, as append does: d may share its memory.
func (d Deltas) Append(key []byte, count int64) Deltas {
	w := writer{b: d.body}
	w.array(deltaFields)
	w.strLen(len(key))
	w.b = append(w.b, key...)
	w.int(count)
	return Deltas{d.n + 1, w.b}
}

// Reset returns none, in the memory of d, which is not to be used any more.
func (d Deltas) Reset() Deltas { return Deltas{0, d.body[:0]} }

// Len is how many there are.
func (d Deltas) Len() int { return d.n }

// Bytes is about what they take in a message and in memory.
func (d Deltas) Bytes() int { return len(d.body) }

// All gives the deltas. The key is not to be changed.
func (d Deltas) All() iter.Seq2[[]byte, int64] {
	return func(yield func(key []byte, count int64) bool) {
		r := reader{b: d.body}
		for range d.n {
			r.tuple(deltaFields, "delta")
			if !yield(r.bytes(), r.int()) {
				return
			}
		}
	}
}

// Equal reports whether both are the same deltas in the same order, however they are written.
func (d Deltas) Equal(other Deltas) bool {
	if d.n != other.n {
		return false
	}
	next, stop := iter.Pull2(other.All())
	defer stop()
	for key, count := range d.All() {
		if k, c, _ := next(); c != count || !bytes.Equal(k, key) {
			return false
		}
	}
	return true
}

func (w *writer) deltas(d Deltas) {
	w.array(d.n)
	w.b = append(w.b, d.body...)
}

// deltas reads deltas, which keep the bytes. Each is looked at, so that All has nothing to refuse.
func (r *reader) deltas() Deltas {
	d := Deltas{n: r.arrayOf(1 + deltaFields), body: r.b}
	for range d.n {
		r.tuple(deltaFields, "delta")
		r.bytes()
		r.int()
		if r.err != nil {
			return Deltas{}
		}
	}
	if d.body = d.body[: len(d.body)-len(r.b) : len(d.body)-len(r.b)]; d.n == 0 {
		return Deltas{}
	}
	return d
}
