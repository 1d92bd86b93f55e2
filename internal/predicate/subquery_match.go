package predicate

import "github.com/shapebus/shapebus/internal/valueset"

// Set is what a subquery selects, as it stands where a row is evaluated. *valueset.View is one.
type Set interface {
	Has(key []byte) bool          // is the value a member?
	Empty() bool                  // are there no values, not even NULL?
	HasNull() bool                // is a value, or a component of one, NULL?
	Each(f func(key []byte) bool) // calls f with every member, valid until f returns, until it returns false
}

// Scratch is memory that MatchIn works in, so that it need not allocate for every row. Its zero value is ready. It is
// owned by one goroutine, and keeps the last row reachable.
type Scratch struct {
	row     [][]byte
	key     []byte
	yes, no []byte
}

// MatchIn is Match for a clause with subqueries: sets has what they select, in the order of Subqueries. It allocates
// nothing but for keys of numeric and floating point columns.
func (p *Predicate) MatchIn(row [][]byte, sets []Set, s *Scratch) bool {
	m := p.members
	if m == nil {
		return p.Match(row)
	}
	if m.fixed.eval(row) != isTrue {
		return false
	}
	if s.yes == nil {
		s.yes, s.no = []byte("t"), []byte("f")
	}
	s.row = append(s.row[:0], row[:min(len(row), m.width)]...)
	for len(s.row) < m.width {
		s.row = append(s.row, nil)
	}
	for i, q := range m.subqueries {
		var member []byte
		switch q.member(row, sets[i], s) {
		case isTrue:
			member = s.yes
		case isFalse:
			member = s.no
		case isUnknown: // NULL
		}
		s.row = append(s.row, member)
	}
	return m.rest.eval(s.row) == isTrue
}

// member is the value of the test: SQL's IN, component by component for tuples.
func (q *Subquery) member(row [][]byte, set Set, s *Scratch) truth {
	if set.Empty() {
		return isFalse // even for NULL
	}
	s.key = q.AppendKey(s.key[:0], row)
	null := valueset.HasNull(s.key)
	if !null && set.Has(s.key) {
		return isTrue
	}
	switch {
	case !null && !set.HasNull(), q.Monotone: // as good as unknown
		return isFalse
	case len(q.Columns) == 1:
		return isUnknown
	}
	// A tuple with a NULL is unknown only beside a tuple that equals it in all else.
	out := isFalse
	set.Each(func(other []byte) bool {
		if valueset.MayEqual(s.key, other) {
			out = isUnknown
		}
		return out == isFalse
	})
	return out
}
