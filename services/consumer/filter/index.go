package filter

import "github.com/shapebus/shapebus/internal/predicate/access"

// Index finds shapes of type S of one table. Use New.
type Index[S any] struct {
	spaces []*space[S]
	ranges []*ranges[S]
	pieces []*pieces[S]
	rest   bucket[S] // to be asked about every change
	size   int

	// epoch numbers the calls of Find: an entry that bears it has been found already.
	epoch uint64
	found []S

	// Scratch memory of Find and of Set.
	before, after, other, cell access.KeyBuffer
	part                       []byte
}

// New returns an empty index.
func New[S any]() *Index[S] {
	x := &Index[S]{}
	x.rest.home = nowhere[S]{}
	return x
}

// Entry is a shape in an index.
type Entry[S any] struct {
	shape  S
	seen   uint64
	places []place[S]
}

// place is one of the buckets that an entry is in, and where in it, so that leaving it costs nothing.
type place[S any] struct {
	bucket *bucket[S]
	pos    int
}

// bucket holds the entries that are found together.
type bucket[S any] struct {
	items []item[S]
	home  home[S]
	key   string       // in a space
	sets  []*member[S] // that have the key, in a space
}

// item is an entry in a bucket: entry.places[place] is this one.
type item[S any] struct {
	entry *Entry[S]
	place int
}

// home is where a bucket is; it is told when the bucket has become empty.
type home[S any] interface{ drop(*bucket[S]) }

type nowhere[S any] struct{}

func (nowhere[S]) drop(*bucket[S]) {}

// Len is the number of shapes.
func (x *Index[S]) Len() int { return x.size }

// Unindexed is the number of shapes that every change is offered to.
func (x *Index[S]) Unindexed() int { return len(x.rest.items) }

// Add adds a shape that is found as a says. sets are the sets that a's members are numbered by. The cost follows the number
// of keys in a. The entry is for Remove.
func (x *Index[S]) Add(s S, a access.Path, sets ...*Set[S]) *Entry[S] {
	e := &Entry[S]{shape: s}
	x.size++
	c := x.choose(&a, sets)
	e.places = make([]place[S], 0, c.buckets())
	for i := range c.paths {
		x.follow(e, &c.paths[i])
	}
	return e
}

// Remove takes a shape out. The cost follows the number of keys that it is found by.
func (x *Index[S]) Remove(e *Entry[S]) {
	x.size--
	for i := range e.places {
		e.places[i].bucket.remove(e.places[i].pos)
	}
	e.places = nil
}

func (b *bucket[S]) add(e *Entry[S]) {
	e.places = append(e.places, place[S]{b, len(b.items)})
	b.items = append(b.items, item[S]{e, len(e.places) - 1})
}

// remove fills the gap with the last item.
func (b *bucket[S]) remove(pos int) {
	last := len(b.items) - 1
	moved := b.items[last]
	b.items[pos] = moved
	moved.entry.places[moved.place].pos = pos
	b.items[last] = item[S]{}
	b.items = b.items[:last]
	b.shrink()
}

func (b *bucket[S]) shrink() {
	if len(b.items)+len(b.sets) == 0 {
		b.home.drop(b)
	}
}

// Find returns the shapes that a change of a row may concern, each once: those that may match the row as it was or as it
// is now. A nil row is none. The list is valid until the next call of any method.
func (x *Index[S]) Find(before, after [][]byte) []S {
	x.epoch++
	x.found = x.found[:0]
	for _, s := range x.spaces {
		s.find(x, before, after)
	}
	for _, r := range x.ranges {
		r.find(x, before, after)
	}
	for _, p := range x.pieces {
		p.find(before, after)
	}
	for i := range x.rest.items {
		x.found = append(x.found, x.rest.items[i].entry.shape)
	}
	return x.found
}

// offer adds the entries of a bucket to what was found.
func (x *Index[S]) offer(b *bucket[S]) {
	for i := range b.items {
		if e := b.items[i].entry; e.seen != x.epoch {
			e.seen = x.epoch
			x.found = append(x.found, e.shape)
		}
	}
	for _, m := range b.sets {
		x.offer(&m.set.attached)
	}
}

// cell returns a column of a row; one that is missing reads as NULL, as in evaluation.
func cell(row [][]byte, column int) []byte {
	if column < len(row) {
		return row[column]
	}
	return nil
}
