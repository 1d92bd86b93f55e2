package filter

import (
	"bytes"
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
)

// space is a hash over the keys of some columns: of one, or of several together.
type space[S any] struct {
	x       *Index[S]
	keys    []access.Key // in ascending order
	buckets map[string]*bucket[S]
	text    bool // one column, whose text is the key
}

// space returns the space of some keys, which are in ascending order, or nil if there is none.
func (x *Index[S]) space(keys []access.Key) *space[S] {
	for _, s := range x.spaces {
		if slices.Equal(s.keys, keys) {
			return s
		}
	}
	return nil
}

func (x *Index[S]) makeSpace(keys []access.Key) *space[S] {
	if s := x.space(keys); s != nil {
		return s
	}
	s := &space[S]{x: x, keys: slices.Clone(keys), buckets: map[string]*bucket[S]{}, text: len(keys) == 1 && keys[0].Text()}
	x.spaces = append(x.spaces, s)
	return s
}

// bucket returns the bucket of a key and makes it if need be.
func (s *space[S]) bucket(key string) *bucket[S] {
	b := s.buckets[key]
	if b == nil {
		b = &bucket[S]{home: s, key: key}
		s.buckets[key] = b
	}
	return b
}

// drop removes an empty bucket, and the space with its last one, so that changes do not pay for shapes that are gone.
func (s *space[S]) drop(b *bucket[S]) {
	delete(s.buckets, b.key)
	if len(s.buckets) == 0 {
		s.x.spaces = slices.DeleteFunc(s.x.spaces, func(o *space[S]) bool { return o == s })
	}
}

func (s *space[S]) find(x *Index[S], before, after [][]byte) {
	if s.text {
		column := s.keys[0].Column()
		was, is := cell(before, column), cell(after, column)
		if was != nil {
			s.look(x, was)
		}
		if is != nil && (was == nil || !bytes.Equal(was, is)) { // the same key leads to the same shapes
			s.look(x, is)
		}
		return
	}
	if before != nil {
		appendKeys(x, &x.before, s.keys, before)
		for i := range x.before.Len() {
			s.look(x, x.before.At(i))
		}
	}
	if after == nil || before != nil && !s.changed(before, after) {
		return
	}
	appendKeys(x, &x.after, s.keys, after)
	for i := range x.after.Len() {
		s.look(x, x.after.At(i))
	}
}

func (s *space[S]) look(x *Index[S], key []byte) {
	if b := s.buckets[string(key)]; b != nil {
		x.offer(b)
	}
}

// changed reports whether the rows differ in a column of the space.
func (s *space[S]) changed(before, after [][]byte) bool {
	for _, k := range s.keys {
		if !sameCell(cell(before, k.Column()), cell(after, k.Column())) {
			return true
		}
	}
	return false
}

func sameCell(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// appendKeys sets b to the keys of a row: each combination of the columns' keys, which is one where every column has one, and
// none where a column has none.
func appendKeys[S any](x *Index[S], b *access.KeyBuffer, keys []access.Key, row [][]byte) {
	b.Reset()
	for i, k := range keys {
		if len(keys) == 1 {
			k.AppendTo(b, cell(row, k.Column()))
			return
		}
		x.cell.Reset()
		k.AppendTo(&x.cell, cell(row, k.Column()))
		x.other.Reset()
		for j := range x.cell.Len() {
			x.part = access.AppendPart(x.part[:0], x.cell.At(j)) // once: it may be long
			if i == 0 {
				x.other.AddPart(nil, x.part)
			}
			for n := range b.Len() {
				x.other.AddPart(b.At(n), x.part)
			}
		}
		*b, x.other = x.other, *b
	}
}
