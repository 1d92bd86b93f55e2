package filter

import (
	"cmp"
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
)

const (
	// crowded is how many shapes one key may lead to before a clause that has other columns too is looked up by several of
	// them together.
	crowded = 4
	// maxTogether bounds the columns of such a key, maxProduct the keys that one clause makes of its lists.
	maxTogether, maxProduct = 3, 64
	// maxComposite bounds the sets of columns that are looked up together: each costs every change a look.
	maxComposite = 16
	// maxKeys bounds the keys of one clause. A clause with more is asked about every change: it has a set of its own to answer from, and keys
	// here take 200 bytes each.
	maxKeys = 4096
)

// rank orders ways to find a shape by how much they narrow it down, whatever else is there.
type rank int

const (
	byKeys rank = iota // equality, or membership
	byInterval
	byPiece    // of a text
	byHalfLine // a range with one end
	byNull
	asked
)

// path is one of the ways that together find a shape.
type path[S any] struct {
	rank      rank
	keys      []access.Key // byKeys: ascending; else one
	values    []string     // byKeys, byPiece
	low, high access.Bound
	set       *Set[S] // byKeys, instead of values
}

// choice is paths of which all must be followed.
type choice[S any] struct {
	rank  rank
	load  int // how many shapes its most crowded key leads to already
	paths []path[S]
}

func (c *choice[S]) buckets() int {
	n := 0
	for i := range c.paths {
		n += max(1, len(c.paths[i].values))
	}
	return n
}

func single[S any](p path[S], load int) choice[S] {
	return choice[S]{rank: p.rank, load: load, paths: []path[S]{p}}
}

func scan[S any]() choice[S] { return single(path[S]{rank: asked}, 0) }

// choose decides how a shape is found, by what is in the index now.
func (x *Index[S]) choose(a *access.Path, sets []*Set[S]) choice[S] {
	switch a.Form {
	case access.None:
		return choice[S]{}
	case access.Keys:
		if len(a.Values) > maxKeys {
			return scan[S]()
		}
		return x.lookup([]access.Key{a.Key}, a.Values)
	case access.Range:
		p := path[S]{rank: byInterval, keys: []access.Key{a.Key}, low: a.Low, high: a.High}
		if !a.Low.Set || !a.High.Set {
			p.rank = byHalfLine
		}
		return single(p, 0)
	case access.Member:
		if a.Set < len(sets) && sets[a.Set] != nil {
			return single(path[S]{rank: byKeys, set: sets[a.Set]}, sets[a.Set].Shapes())
		}
	case access.Any:
		return x.each(a.Args, sets)
	case access.All:
		return x.best(a.Args, sets)
	case access.Scan:
	}
	return scan[S]()
}

func (x *Index[S]) lookup(keys []access.Key, values []string) choice[S] {
	p := path[S]{rank: byKeys, keys: keys, values: values}
	if keys[0].Pieces() {
		p.rank = byPiece
		return single(p, x.piecesLoad(keys[0], values))
	}
	if len(keys) == 1 && keys[0].Null() {
		p.rank = byNull
	}
	load := 0
	if s := x.space(keys); s != nil {
		for _, v := range values {
			if b := s.buckets[v]; b != nil {
				load = max(load, len(b.items))
			}
		}
	}
	return single(p, load)
}

// each follows all arms of a disjunction.
func (x *Index[S]) each(arms []access.Path, sets []*Set[S]) choice[S] {
	var out choice[S]
	for i := range arms {
		c := x.choose(&arms[i], sets)
		out.rank, out.load = max(out.rank, c.rank), max(out.load, c.load)
		out.paths = append(out.paths, c.paths...)
	}
	if out.rank == asked || out.buckets() > maxKeys {
		return scan[S]()
	}
	return out
}

// best follows one argument of a conjunction, or several lookups at once.
func (x *Index[S]) best(args []access.Path, sets []*Set[S]) choice[S] {
	choices := make([]choice[S], len(args))
	for i := range args {
		choices[i] = x.choose(&args[i], sets)
	}
	slices.SortStableFunc(choices, func(a, b choice[S]) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.load, b.load), cmp.Compare(a.buckets(), b.buckets()))
	})
	out := choices[0]
	if out.rank != byKeys || out.load < crowded {
		return out
	}
	if c, ok := x.together(choices); ok && c.load < out.load {
		return c
	}
	return out
}

// together makes one lookup of several, the least crowded of them.
func (x *Index[S]) together(choices []choice[S]) (choice[S], bool) {
	var of []*path[S]
	product := 1
	for i := range choices {
		p := &choices[i].paths
		if choices[i].rank != byKeys || len(*p) != 1 || (*p)[0].set != nil || product*len((*p)[0].values) > maxProduct || len((*p)[0].keys) != 1 ||
			slices.ContainsFunc(of, func(o *path[S]) bool {
				return o.keys[0] == (*p)[0].keys[0] || o.keys[0].Elements() && (*p)[0].keys[0].Elements() // a row has all pairs of elements
			}) {
			continue
		}
		of = append(of, &(*p)[0])
		if product *= len((*p)[0].values); len(of) == maxTogether {
			break
		}
	}
	if len(of) < 2 {
		return choice[S]{}, false
	}
	slices.SortFunc(of, func(a, b *path[S]) int { return a.keys[0].Compare(b.keys[0]) })
	var keys []access.Key
	var a, b access.KeyBuffer
	for i, p := range of {
		keys = append(keys, p.keys[0])
		b.Reset()
		for _, v := range p.values {
			part := access.AppendPart(nil, []byte(v))
			for j := range max(1, a.Len()) {
				var before []byte
				if i > 0 {
					before = a.At(j)
				}
				b.AddPart(before, part)
			}
		}
		a, b = b, a
	}
	if x.space(keys) == nil && x.composites() == maxComposite {
		return choice[S]{}, false
	}
	values := make([]string, a.Len())
	for i := range values {
		values[i] = string(a.At(i))
	}
	return x.lookup(keys, values), true
}

func (x *Index[S]) composites() int {
	n := 0
	for _, s := range x.spaces {
		if len(s.keys) > 1 {
			n++
		}
	}
	return n
}

// follow makes e be found by p.
func (x *Index[S]) follow(e *Entry[S], p *path[S]) {
	switch {
	case p.rank == asked:
		x.rest.add(e)
	case p.set != nil:
		p.set.attached.add(e)
	case p.rank == byPiece:
		of := x.makePieces(p.keys[0])
		for _, v := range p.values {
			of.bucket(v).add(e)
		}
	case p.rank == byInterval || p.rank == byHalfLine:
		x.makeRanges(p.keys[0]).bucket(p.low, p.high).add(e)
	default:
		s := x.makeSpace(p.keys)
		for _, v := range p.values {
			s.bucket(v).add(e)
		}
	}
}
