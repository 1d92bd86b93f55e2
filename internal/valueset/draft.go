package valueset

// Draft is what a view may become: it takes additions and leaves the view as it is, which must not
// change before Accept, if that comes. It remembers marks of values. A Draft is owned by one goroutine.
type Draft struct {
	total

	view  *View
	delta Counts
}

// Draft begins a draft that equals the view, without marks.
func (v *View) Draft() *Draft { return &Draft{view: v, total: v.total} }

// Add changes a value's count by n and reports whether the value's membership is now another than in the view.
func (d *Draft) Add(key []byte, n int64) bool {
	d.add(key, n)
	was := d.view.count(key)
	return (was > 0) != (was+d.delta.Add(key, n) > 0)
}

// Mark marks a value.
func (d *Draft) Mark(key []byte) { d.delta.Mark(key) }

// Marked reports whether a value is marked.
func (d *Draft) Marked(key []byte) bool { return d.delta.Marked(key) }

// Marks is how many values are marked.
func (d *Draft) Marks() int { return d.delta.Marks() }

// EachMarked calls f with every value that is marked until f returns false. The key is valid until the next change,
// which must not be made by f.
func (d *Draft) EachMarked(f func(key []byte) bool) { d.delta.EachMarked(f) }

// Has reports whether a value is a member.
func (d *Draft) Has(key []byte) bool { return d.view.count(key)+d.delta.Get(key) > 0 }

// Each calls f with every member until f returns false. The key is valid until f returns.
func (d *Draft) Each(f func(key []byte) bool) {
	more := true
	d.view.counts(func(key []byte, n int64) bool {
		if n+d.delta.Get(key) > 0 {
			more = f(key)
		}
		return more
	})
	if !more {
		return
	}
	d.delta.All(func(key []byte, n int64) bool {
		// What the view counts was among the former.
		return n <= 0 || d.view.delta.Get(key) != 0 || d.view.base.counts.Get(key) != 0 || f(key)
	})
}

// Accept makes the view equal to the draft, which is over, and returns the view.
func (d *Draft) Accept() *View {
	d.delta.Unmark()
	v := d.view
	if v.delta.Len() < d.delta.Len() {
		v.delta, d.delta = d.delta, v.delta
	}
	d.delta.All(func(key []byte, n int64) bool {
		v.delta.Add(key, n)
		return true
	})
	v.total, d.delta = d.total, Counts{}
	return v
}
