package filter

import (
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
)

// Set is the values that some columns of the table may have: what a subquery selects. Shapes that Add was given it for are found by
// any row whose columns are a member. A change of the set costs the same however many shapes are attached, and attaching a shape
// costs the same however many values there are. A set belongs to its index's goroutine.
type Set[S any] struct {
	x        *Index[S]
	outer    []access.Key // of the table's rows, ascending
	inner    []access.Key // of the values, in the order of outer
	attached bucket[S]
	members  map[string]*member[S]
}

// member is a value of a set: its place in the bucket of the value's key.
type member[S any] struct {
	set    *Set[S]
	bucket *bucket[S]
	pos    int
}

// NewSet makes an empty set over the columns that outer reads, which is not empty. inner[i] reads the value that outer[i] is compared
// with; predicate.MemberKeys makes such pairs. The column of an inner key is the value's place among those that Put is given.
func (x *Index[S]) NewSet(outer, inner []access.Key) *Set[S] {
	order := make([]int, len(outer))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return outer[a].Compare(outer[b]) })
	s := &Set[S]{x: x, members: map[string]*member[S]{}}
	for _, i := range order {
		s.outer = append(s.outer, outer[i])
		s.inner = append(s.inner, inner[i])
	}
	s.attached.home = nowhere[S]{}
	return s
}

// Len is the number of members.
func (s *Set[S]) Len() int { return len(s.members) }

// Shapes is the number of shapes attached.
func (s *Set[S]) Shapes() int { return len(s.attached.items) }

// Put makes a value a member: its cells as Postgres prints them. It reports whether that is new. A value with a NULL never is one: it equals nothing.
func (s *Set[S]) Put(value ...[]byte) bool {
	added := false
	appendKeys(s.x, &s.x.before, s.inner, value)
	for i := range s.x.before.Len() {
		key := s.x.before.At(i)
		if s.members[string(key)] != nil {
			continue
		}
		b := s.x.makeSpace(s.outer).bucket(string(key))
		m := &member[S]{set: s, bucket: b, pos: len(b.sets)}
		b.sets = append(b.sets, m)
		s.members[b.key] = m
		added = true
	}
	return added
}

// Drop is the reverse of Put.
func (s *Set[S]) Drop(value ...[]byte) bool {
	dropped := false
	appendKeys(s.x, &s.x.before, s.inner, value)
	for i := range s.x.before.Len() {
		if m := s.members[string(s.x.before.At(i))]; m != nil {
			s.drop(m)
			dropped = true
		}
	}
	return dropped
}

func (s *Set[S]) drop(m *member[S]) {
	b := m.bucket
	delete(s.members, b.key)
	last := len(b.sets) - 1
	b.sets[m.pos] = b.sets[last]
	b.sets[m.pos].pos = m.pos
	b.sets[last] = nil
	b.sets = b.sets[:last]
	b.shrink()
}

// Clear drops all members, at a cost that follows their number. Do it before letting go of a set: the index holds it by its
// members. Shapes that are attached stay so.
func (s *Set[S]) Clear() {
	for _, m := range s.members {
		s.drop(m)
	}
}
