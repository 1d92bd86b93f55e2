package live

import (
	"fmt"
	"iter"
	"maps"

	"github.com/shapebus/shapebus/internal/valueset"
	"github.com/shapebus/shapebus/services/consumer/filter"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// Selections are the value sets by which live shapes select, by name. Owned by the main loop.
type Selections map[string]*Selection

// Selection is a value set where the main loop is. It is kept while its shapes are away.
type Selection struct {
	Main      *valueset.View // nil when no live shape selects by it
	Version   uint64         // counts what main has been
	Selectors int            // subqueries of live shapes that select by it
	indexes   map[string]*memberSet
}

// Of returns a set by its name.
func (l Selections) Of(name string) *Selection {
	set := l[name]
	if set == nil {
		set = &Selection{}
		l[name] = set
	}
	return set
}

// View is the main loop's view of a set; nil when no live shape selects by it.
func (l Selections) View(name string) *valueset.View {
	if set := l[name]; set != nil {
		return set.Main
	}
	return nil
}

// leave is told that a subquery no longer selects by a set. A set by which none selects is not kept up
// to date.
func (l Selections) leave(name string) {
	set := l.Of(name)
	if set.Selectors--; set.Selectors == 0 {
		set.Main = nil
	}
}

// forget drops a set that is gone, with what the indexes of tables hold of it.
func (l Selections) forget(name string, r *follow.Router) {
	set := l[name]
	if set == nil {
		return
	}
	for _, m := range set.indexes {
		r.DropSet(m.table, m.set)
	}
	delete(l, name)
}

// memberSet is a value set in the main loop's filter index of a table: it
// finds the shapes that select rows by it from a row's value. It is kept while its
// shapes are away, and brought up to date by what changed meanwhile. Owned by the main loop.
type memberSet struct {
	table   *follow.Table
	set     *filter.Set[*follow.Follower]
	version uint64 // of Selection.Main that it equals; another one says that it is out of date
}

// Indexed is the size up to which a value set is put into the index. A larger
// one is looked into by each of its shapes instead: an index entry takes several
// times the memory of a value.
const Indexed = 10_000

// memberSets returns the index's sets for a shape's subqueries, up to date; nil
// for those that are not indexed.
func (l Selections) memberSets(f *follow.Follower, t *follow.Table) []*filter.Set[*follow.Follower] {
	if f.Outer == nil {
		return nil
	}
	out := make([]*filter.Set[*follow.Follower], len(f.Outer.Subqueries))
	for i, q := range f.Pred.Subqueries() {
		set := l.Of(f.Outer.Subqueries[i].ValueSet())
		if set.Main == nil || set.Main.Len() > Indexed {
			continue
		}
		name := fmt.Sprint(f.Relation.OID, q.Columns)
		m := set.indexes[name]
		if m == nil {
			outer, inner, ok := q.MemberKeys()
			if !ok {
				continue
			}
			m = &memberSet{table: t, set: t.NewSet(outer, inner)}
			if set.indexes == nil {
				set.indexes = map[string]*memberSet{}
			}
			set.indexes[name] = m
		}
		if m.version != set.Version {
			m.rebuild(set)
		}
		out[i] = m.set
	}
	return out
}

// rebuild fills the index's set from the start.
func (m *memberSet) rebuild(set *Selection) {
	m.set.Clear()
	set.Main.Each(func(key []byte) bool {
		if cells, err := valueset.Components(key); err == nil {
			m.set.Put(cells...)
		}
		return true
	})
	m.version = set.Version
}

// update brings the index's set from one version to the next.
func (m *memberSet) update(set *Selection, touched map[string]struct{}) {
	for key := range touched {
		cells, err := valueset.Components(key)
		switch {
		case err != nil:
		case set.Main.Has([]byte(key)):
			m.set.Put(cells...)
		default:
			m.set.Drop(cells...)
		}
	}
	m.version = set.Version
}

// Touched are the values of a set that units have changed since its shapes left the main loop, for the filter index. The zero
// value does not know them, and the index is rebuilt then; so it is when there are more than an index holds.
type Touched struct {
	since  uint64 // version of the set's main view when they left; 0 if the values are not known
	values map[string]struct{}
}

// Leave begins to note what is touched.
func (v *Selection) Leave() Touched { return Touched{v.Version, map[string]struct{}{}} }

// Note notes n values.
func (t *Touched) Note(n int, values iter.Seq[[]byte]) {
	if t.since == 0 {
		return
	}
	if len(t.values)+n > Indexed {
		*t = Touched{}
		return
	}
	for key := range values {
		t.values[string(key)] = struct{}{}
	}
}

// Add adds what other shapes have touched that left together with these; if they did not, nothing is known.
func (t *Touched) Add(o *Touched) {
	if t.since != o.since || len(t.values)+len(o.values) > Indexed {
		*t = Touched{}
		return
	}
	maps.Copy(t.values, o.values)
}

// Arrive makes a view the main loop's.
func (v *Selection) Arrive(view *valueset.View, t Touched) {
	before := v.Version
	v.Main = view
	v.Version++
	for _, m := range v.indexes {
		if t.since != 0 && m.version == t.since && t.since == before {
			m.update(v, t.values)
		}
	}
}
