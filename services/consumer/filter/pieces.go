package filter

import (
	"slices"

	"github.com/shapebus/shapebus/internal/predicate/access"
)

// pieces finds shapes by a piece that stands anywhere in a column's text, such as those of LIKE '%urgent%'. It goes through the
// text once, however many shapes there are.
type pieces[S any] struct {
	x       *Index[S]
	key     access.Key
	buckets map[string]*piece[S]
	// may has a bit for each hash of a piece that has, or had, a bucket: most of a text has none, and costs no more than this look.
	may [hashes / 64]uint64
}

const hashes = 1 << 14

// piece is the bucket of one piece, and when it was found last: it may stand in a text many times.
type piece[S any] struct {
	bucket[S]

	of    *pieces[S]
	found uint64
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
		p = &pieces[S]{x: x, key: key, buckets: map[string]*piece[S]{}}
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
		if p := of.buckets[v]; p != nil {
			load = max(load, len(p.items))
		}
	}
	return load
}

// bucket returns the bucket of a piece and makes it if need be.
func (p *pieces[S]) bucket(text string) *bucket[S] {
	b := p.buckets[text]
	if b == nil {
		b = &piece[S]{of: p}
		b.home, b.key = b, text
		p.buckets[text] = b
		w := uint32(0)
		for i := range len(text) {
			w = slide(w, text[i])
		}
		h := hash(w)
		p.may[h/64] |= 1 << (h % 64)
	}
	return &b.bucket
}

// drop removes an empty bucket, and all with the last one.
func (p *piece[S]) drop(*bucket[S]) {
	of := p.of
	delete(of.buckets, p.key)
	if len(of.buckets) == 0 {
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

func hash(window uint32) uint32 { return window * 0x9E3779B1 >> 18 }

// look offers the shapes of all pieces of a text.
func (p *pieces[S]) look(text []byte) {
	if len(text) < access.PieceLen {
		return
	}
	var key [access.PieceLen]byte
	window := slide(slide(0, text[0]), text[1])
	for _, c := range text[access.PieceLen-1:] {
		window = slide(window, c)
		h := hash(window)
		if p.may[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		key[0], key[1], key[2] = byte(window>>16), byte(window>>8), byte(window)
		if b := p.buckets[string(key[:])]; b != nil && b.found != p.x.epoch {
			b.found = p.x.epoch
			p.x.offer(&b.bucket)
		}
	}
}
