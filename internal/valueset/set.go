package valueset

// Set is a multiset of values. Reading it is safe for concurrent use while
// nobody changes it. The zero value is empty.
type Set struct {
	total // of counts

	counts Counts
}

// total sums up a multiset.
type total struct {
	rows  int64 // all counts together
	nulls int64 // those of values with a NULL component
}

func (t *total) add(key []byte, n int64) {
	t.rows += n
	if HasNull(key) {
		t.nulls += n
	}
}

// Empty reports whether there are no values, NULL among them.
func (t *total) Empty() bool { return t.rows <= 0 }

// HasNull reports whether a value is, or contains, NULL.
func (t *total) HasNull() bool { return t.nulls > 0 }

// Add changes a value's count by n. A count may fall below zero only while
// transactions are summed out of order.
func (s *Set) Add(key []byte, n int64) {
	if n == 0 {
		return
	}
	s.add(key, n)
	s.counts.Add(key, n)
}

// Clone returns a set of the same values that may be changed.
func (s *Set) Clone() *Set {
	out := &Set{}
	s.counts.All(func(key []byte, n int64) bool { out.Add(key, n); return true })
	return out
}

// Len is the number of distinct values.
func (s *Set) Len() int { return s.counts.Len() }

// Bytes is the size of the values and their counts, about.
func (s *Set) Bytes() int { return s.counts.Bytes() }
