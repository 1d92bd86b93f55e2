package predicate

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v6"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// What stands once in the clause may stand several times in what it means: x BETWEEN a AND b compares x twice. It is built once
// all the same, since such forms stand in each other, and building each twice takes time that is exponential in their depth.

// counts are what a builder counts while it builds.
type counts struct{ joins, regexes, nodes, used int }

func (b *builder) counts() counts {
	c := counts{joins: b.joins, regexes: b.regexes, nodes: len(b.sub.nodes)}
	if b.sub.lookup != nil {
		c.used = b.sub.lookup.used
	}
	return c
}

func (b *builder) restore(c counts) {
	b.joins, b.regexes, b.sub.nodes = c.joins, c.regexes, b.sub.nodes[:c.nodes]
	if b.sub.lookup != nil {
		b.sub.lookup.used = c.used
	}
}

// builtTerm is a term that may be asked for again, and what building it has added to the counts.
type builtTerm struct {
	term  term
	added counts
	nodes []*memberNode
}

// remembered builds a term that may be asked for again.
func (b *builder) remembered(n *pg_query.Node, depth int) (term, *Error) {
	before := b.counts()
	t, err := b.term(n, depth)
	if err != nil {
		return term{}, err
	}
	if t.k == value.Unknown { // its first use decides what it is the second time
		return t, nil
	}
	after := b.counts()
	if b.built == nil {
		b.built = make(map[*pg_query.Node]builtTerm)
	}
	if _, ok := b.built[n]; !ok {
		b.built[n] = builtTerm{
			term:  t,
			added: counts{joins: after.joins - before.joins, regexes: after.regexes - before.regexes, used: after.used - before.used},
			nodes: slices.Clone(b.sub.nodes[before.nodes:]),
		}
	}
	return t, nil
}

// rememberedPair is pair of operands that may be asked for again.
func (b *builder) rememberedPair(l, r *pg_query.Node, depth int) (left, right term, err *Error) {
	if left, err = b.remembered(l, depth+1); err == nil {
		right, err = b.remembered(r, depth+1)
	}
	return left, right, err
}

// again returns a term as if it were built again.
func (b *builder) again(t builtTerm) term {
	b.joins, b.regexes, b.sub.nodes = b.joins+t.added.joins, b.regexes+t.added.regexes, append(b.sub.nodes, t.nodes...)
	if b.sub.lookup != nil {
		b.sub.lookup.used += t.added.used
	}
	return t.term
}
