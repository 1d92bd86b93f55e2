package valueset

import "maps"

// Set is a multiset of values. Reading it is safe for concurrent use while
// nobody changes it. The zero value is empty.
type Set struct {
	total // of counts

	counts map[string]int64
}

// total sums up a multiset.
type total struct {
	rows  int64 // all counts together
	nulls int64 // those of values with a NULL component
}

func (t *total) add(key string, n int64) {
	t.rows += n
	if HasNull(key) {
		t.nulls += n
	}
}

// Add changes a value's count by n. A count may fall below zero only while
// transactions are summed out of order.
func (s *Set) Add(key string, n int64) {
	if n == 0 {
		return
	}
	if s.counts == nil {
		s.counts = make(map[string]int64)
	}
	s.add(key, n)
	if c := s.counts[key] + n; c == 0 {
		delete(s.counts, key)
	} else {
		s.counts[key] = c
	}
}

// Len is the number of distinct values.
func (s *Set) Len() int { return len(s.counts) }

// Deltas are changes of counts, netted by value: none of them is zero.
type Deltas map[string]int64

// Add changes the delta of a value by n.
func (d Deltas) Add(key string, n int64) {
	if c := d[key] + n; c == 0 {
		delete(d, key)
	} else {
		d[key] = c
	}
}

// View is a Set as it stands at some place: a shared base, and what differs
// from it there. A View is owned by one goroutine; the base must not change
// while views of it are in use, but through Fold.
type View struct {
	total

	base  *Set
	delta Deltas
}

// NewView returns the base as it is.
func NewView(base *Set) *View { return &View{base: base, delta: Deltas{}, total: base.total} }

// Clone returns a view that changes independently of v. It costs as much as v
// differs from the base.
func (v *View) Clone() *View {
	return &View{base: v.base, delta: maps.Clone(v.delta), total: v.total}
}

// Add changes a value's count by n and reports whether that changed the
// value's membership.
func (v *View) Add(key string, n int64) bool {
	if n == 0 {
		return false
	}
	before := v.base.counts[key] + v.delta[key]
	v.delta.Add(key, n)
	v.add(key, n)
	return (before > 0) != (before+n > 0)
}

// Changes reports whether Add would change the value's membership.
func (v *View) Changes(key string, n int64) bool {
	before := v.base.counts[key] + v.delta[key]
	return (before > 0) != (before+n > 0)
}

// Has reports whether a value is a member.
func (v *View) Has(key []byte) bool {
	return v.base.counts[string(key)]+v.delta[string(key)] > 0
}

// Empty reports whether there are no values, NULL among them.
func (v *View) Empty() bool { return v.rows <= 0 }

// HasNull reports whether a value is, or contains, NULL.
func (v *View) HasNull() bool { return v.nulls > 0 }

// Each calls f with every member until f returns false.
func (v *View) Each(f func(key string) bool) {
	for k, c := range v.base.counts {
		if c+v.delta[k] > 0 && !f(k) {
			return
		}
	}
	for k, c := range v.delta {
		if v.base.counts[k] == 0 && c > 0 && !f(k) {
			return
		}
	}
}

// Len is about how many values the view has.
func (v *View) Len() int { return len(v.base.counts) + len(v.delta) }

// Differs is how many values' counts are not the base's.
func (v *View) Differs() int { return len(v.delta) }

// Fold makes the base equal to the view. No other view of the base may exist.
func (v *View) Fold() {
	for k, n := range v.delta {
		v.base.Add(k, n)
	}
	v.delta = Deltas{}
}

// Of reports whether the view is one of this base.
func (v *View) Of(base *Set) bool { return v.base == base }
