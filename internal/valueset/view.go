package valueset

// View is a Set as it stands at some place: a shared base, and what differs
// from it there. A View is owned by one goroutine; the base must not change
// while views of it are in use, but through Fold.
type View struct {
	total

	base  *Set
	delta Counts
}

// NewView returns the base as it is.
func NewView(base *Set) *View { return &View{base: base, total: base.total} }

// Add changes a value's count by n and reports whether that changed the
// value's membership.
func (v *View) Add(key []byte, n int64) bool {
	if n == 0 {
		return false
	}
	now := v.base.counts.Get(key) + v.delta.Add(key, n)
	v.add(key, n)
	return (now-n > 0) != (now > 0)
}

// Changes reports whether Add would change the value's membership.
func (v *View) Changes(key []byte, n int64) bool {
	before := v.count(key)
	return (before > 0) != (before+n > 0)
}

// Has reports whether a value is a member.
func (v *View) Has(key []byte) bool { return v.count(key) > 0 }

func (v *View) count(key []byte) int64 { return v.base.counts.Get(key) + v.delta.Get(key) }

// Each calls f with every member until f returns false. The key is valid until f returns.
func (v *View) Each(f func(key []byte) bool) {
	v.counts(func(key []byte, n int64) bool { return n <= 0 || f(key) })
}

// counts gives every value that has or had a count, once.
func (v *View) counts(f func(key []byte, n int64) bool) {
	more := true
	v.base.counts.All(func(key []byte, n int64) bool {
		more = f(key, n+v.delta.Get(key))
		return more
	})
	if !more {
		return
	}
	v.delta.All(func(key []byte, n int64) bool { return v.base.counts.Get(key) != 0 || f(key, n) })
}

// Len is about how many values the view has.
func (v *View) Len() int { return v.base.Len() + v.delta.Len() }

// Differs is how many values' counts are not the base's.
func (v *View) Differs() int { return v.delta.Len() }

// Fold makes the base equal to the view. No other view of the base may exist.
func (v *View) Fold() {
	v.delta.All(func(key []byte, n int64) bool {
		v.base.Add(key, n)
		return true
	})
	v.delta.Clear()
}

// Of reports whether the view is one of this base.
func (v *View) Of(base *Set) bool { return v.base == base }
