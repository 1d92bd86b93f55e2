package filter

import (
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
)

// pieces finds shapes by a piece that stands anywhere in a column's text, such as those of LIKE '%urgent%'. It goes through the
// text once, however many shapes there are, at a few nanoseconds a byte whatever stands there: a text may be of megabytes.
type pieces[S any] struct {
	x     *Index[S]
	key   access.Key
	table []*piece[S] // chains by hash; a power of two, and sparse: most of a text leads to none
	size  int
}

// leastTable is the size of the table of few pieces, and sparse how many places there are for each of many.
const leastTable, sparse = 256, 4

// piece is the bucket of one piece. window is its bytes; found is when it was found last, since it may stand in a text many times.
type piece[S any] struct {
	bucket[S]

	of     *pieces[S]
	window uint32
	next   *piece[S]
	found  uint64
}

func (x *Index[S]) piecesOf(key access.Key) *pieces[S] {
	if i := slices.IndexFunc(x.pieces, func(p *pieces[S]) bool { return p.key == key }); i >= 0 {
		return x.pieces[i]
	}
	return nil
}

func (x *Index[S]) makePieces(key access.Key) *pieces[S] {
	p := x.piecesOf(key)
	if p == nil {
		p = &pieces[S]{x: x, key: key, table: make([]*piece[S], leastTable)}
		x.pieces = append(x.pieces, p)
	}
	return p
}

// piecesLoad is how many shapes the most crowded of some pieces leads to.
func (x *Index[S]) piecesLoad(key access.Key, values []string) (load int) {
	of := x.piecesOf(key)
	if of == nil {
		return 0
	}
	for _, v := range values {
		if p := of.get(windowOf(v)); p != nil {
			load = max(load, len(p.items))
		}
	}
	return load
}

// slot is where the chain of a piece begins.
func (p *pieces[S]) slot(window uint32) **piece[S] {
	const mix = 0x9E3779B1
	h := window * mix
	return &p.table[(h^h>>15)&uint32(len(p.table)-1)]
}

func (p *pieces[S]) get(window uint32) *piece[S] {
	b := *p.slot(window)
	for b != nil && b.window != window {
		b = b.next
	}
	return b
}

// bucket returns the bucket of a piece and makes it if need be.
func (p *pieces[S]) bucket(text string) *bucket[S] {
	window := windowOf(text)
	if b := p.get(window); b != nil {
		return &b.bucket
	}
	if p.size++; sparse*p.size > len(p.table) {
		p.grow()
	}
	b := &piece[S]{of: p, window: window}
	b.home = b
	p.put(b)
	return &b.bucket
}

func (p *pieces[S]) put(b *piece[S]) {
	at := p.slot(b.window)
	b.next, *at = *at, b
}

func (p *pieces[S]) grow() {
	old := p.table
	p.table = make([]*piece[S], 2*len(old))
	for _, b := range old {
		for b != nil {
			next := b.next
			p.put(b)
			b = next
		}
	}
}

// drop removes an empty bucket, and all with the last one.
func (p *piece[S]) drop(*bucket[S]) {
	of := p.of
	at := of.slot(p.window)
	for *at != p {
		at = &(*at).next
	}
	*at = p.next
	if of.size--; of.size == 0 {
		of.x.pieces = slices.DeleteFunc(of.x.pieces, func(o *pieces[S]) bool { return o == of })
	}
}

func (p *pieces[S]) find(before, after [][]byte) {
	was, is := cell(before, p.key.Column()), cell(after, p.key.Column())
	p.look(was)
	if before == nil || !sameCell(was, is) {
		p.look(is)
	}
}

// slide takes the next byte of a text into the window of those before, and letters in lower case.
func slide(window uint32, c byte) uint32 {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return (window<<8 | uint32(c)) & (1<<(8*access.PieceLen) - 1)
}

func windowOf(text string) (window uint32) {
	for i := range len(text) {
		window = slide(window, text[i])
	}
	return window
}

// look offers the shapes of all pieces of a text.
func (p *pieces[S]) look(text []byte) {
	window := uint32(0)
	for i, c := range text {
		window = slide(window, c)
		if i < access.PieceLen-1 {
			continue
		}
		if b := p.get(window); b != nil && b.found != p.x.epoch {
			b.found = p.x.epoch
			p.x.offer(&b.bucket)
		}
	}
}
