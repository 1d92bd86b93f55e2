package access

import (
	"crypto/sha256"

	"github.com/shapebus/shapebus/internal/predicate/like"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// Key says how the cells of one column become keys: strings of bytes that are equal exactly when the values are, and
// in the order of the values where ranges are asked for. Keys that compare equal give equal keys for equal cells, so
// clauses with the same Key share an index.
type Key struct {
	column int
	form   keyForm
	read   value.Reading
}

type keyForm uint8

const (
	keyText     keyForm = iota // the column's text as it is
	keyValue                   // the value, in an order-preserving form
	keyNull                    // whether it is NULL
	keyElements                // each element of an array, in that form
	keyFolded                  // the column's text with ASCII letters in lower case
	keyPieces                  // each piece of that
	keyDocument                // each key, pair and scalar at the top of a document
)

// PieceLen is the size of the pieces of a PiecesKey, in bytes.
const PieceLen = 3

// The keys of a NullKey.
const (
	IsNull  = "0"
	NotNull = "1"
)

// TextKey is the column's text as it is.
func TextKey(column int) Key { return Key{column: column, form: keyText} }

// ValueKey is the column's value, in the order of values.
func ValueKey(column int, read value.Reading) Key {
	return Key{column: column, form: keyValue, read: read}
}

// NullKey tells whether the column is NULL, and nothing else. IsNull and NotNull are its keys.
func NullKey(column int) Key { return Key{column: column, form: keyNull} }

// ElementsKey is each element of a column of arrays that is not NULL.
func ElementsKey(column int, read value.Reading) Key {
	return Key{column: column, form: keyElements, read: read}
}

// FoldedKey is the column's text with its ASCII letters in lower case.
func FoldedKey(column int) Key { return Key{column: column, form: keyFolded} }

// PiecesKey is each piece of PieceLen bytes that stands anywhere in what FoldedKey is; shorter texts have none. A large text
// has as many as it has bytes, so an index looks for them in the text rather than ask for a list.
func PiecesKey(column int) Key { return Key{column: column, form: keyPieces} }

// Pieces reports whether the keys are the pieces of a text.
func (k Key) Pieces() bool { return k.form == keyPieces }

// Column is the column that the key is of, as an index into the row.
func (k Key) Column() int { return k.column }

// Text reports whether the column's text is its only key, and NULL has none: then there is no need to call AppendTo.
func (k Key) Text() bool { return k.form == keyText }

// Null reports whether the key only tells NULL from everything else.
func (k Key) Null() bool { return k.form == keyNull }

// Compare orders keys, so that lists of them can be brought into one order.
func (k Key) Compare(o Key) int {
	for _, d := range [...]int{
		k.column - o.column, int(k.form) - int(o.form), int(k.read.Kind) - int(o.read.Kind), int(k.read.Domain) - int(o.read.Domain),
		order(o.read.Trim, k.read.Trim), order(o.read.Micros, k.read.Micros),
	} {
		if d != 0 {
			return d
		}
	}
	return 0
}

// Elements reports whether a cell may have several keys, since they are of its elements, or of a document's. All others but Pieces have one at most.
func (k Key) Elements() bool { return k.form == keyElements || k.form == keyDocument }

// AppendTo adds the keys of a cell: Postgres' text output, nil for NULL. A cell has none if it is NULL, except where NULL is asked for; an
// array has one for each element that is not NULL, and a document for each key, pair and scalar at its top, with repeats.
func (k Key) AppendTo(b *KeyBuffer, cell []byte) {
	switch {
	case k.form == keyNull:
		if cell == nil {
			b.bytes = append(b.bytes, IsNull...)
		} else {
			b.bytes = append(b.bytes, NotNull...)
		}
	case cell == nil:
		return
	case k.form == keyText:
		b.bytes = append(b.bytes, cell...)
	case k.form == keyFolded:
		b.bytes = like.Fold(b.bytes, cell)
	case k.form == keyPieces:
		k.appendPieces(b, cell)
		return
	case k.form == keyElements:
		k.appendElements(b, cell)
		return
	case k.form == keyDocument:
		k.appendDocument(b, cell)
		return
	default:
		k.appendKey(b, cell)
		return
	}
	b.ends = append(b.ends, len(b.bytes))
}

func (k Key) appendPieces(b *KeyBuffer, cell []byte) {
	for i := range max(0, len(cell)-PieceLen+1) {
		b.bytes = like.Fold(b.bytes, cell[i:i+PieceLen])
		b.ends = append(b.ends, len(b.bytes))
	}
}

// KeyBuffer holds keys one behind the other. The zero value is empty and ready; it grows to what it is used for.
type KeyBuffer struct {
	bytes   []byte
	ends    []int
	element []byte // of an array, without its quotes
}

// keptBytes bounds each piece of memory that a buffer keeps: one large row must not be paid for ever after.
const keptBytes = 1 << 20

// Reset forgets the keys and keeps the memory, unless a large row has taken it.
func (b *KeyBuffer) Reset() {
	b.bytes, b.ends = b.bytes[:0], b.ends[:0]
	if cap(b.bytes) > keptBytes {
		b.bytes = nil
	}
	if cap(b.ends)*8 > keptBytes {
		b.ends = nil
	}
	if cap(b.element) > keptBytes {
		b.element = nil
	}
}

// Len is the number of keys.
func (b *KeyBuffer) Len() int { return len(b.ends) }

// At returns a key, valid until the buffer changes.
func (b *KeyBuffer) At(i int) []byte {
	if i == 0 {
		return b.bytes[:b.ends[0]]
	}
	return b.bytes[b.ends[i-1]:b.ends[i]]
}

// longestPart is the size from which on a hash stands for a part: an array has as many keys made of several as it has elements, and
// each holds the parts beside it.
const longestPart = 64

// AppendPart adds to dst what stands for a key in one that is made of several: its length and itself, so that different parts make
// different keys, or its hash behind a length that no other has. Sets tell their members apart by keys, so it is a hash without collisions.
func AppendPart(dst, key []byte) []byte {
	if len(key) <= longestPart {
		return append(append(dst, byte(len(key))), key...)
	}
	hash := sha256.Sum256(key)
	return append(append(dst, longestPart+1), hash[:]...)
}

// AddPart adds a key made of several: what an earlier call made of those before (nil for the first), and one more from AppendPart.
func (b *KeyBuffer) AddPart(before, part []byte) {
	b.bytes = append(b.bytes, before...)
	b.bytes = append(b.bytes, part...)
	b.ends = append(b.ends, len(b.bytes))
}
