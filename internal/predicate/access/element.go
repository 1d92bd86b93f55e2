package access

import (
	"bytes"
	"strings"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

// appendElements adds the key of each element of an array that is not NULL, in the order of the text. It reads what
// arrayParser reads, without the array: dimensions tell nothing of what is in it, and what is no array at all may have keys, since evaluation
// rejects it.
func (k Key) appendElements(b *KeyBuffer, cell []byte) {
	i := bytes.IndexByte(cell, '{') // behind the bounds of dimensions, if there are any
	for i >= 0 && i < len(cell) {
		switch c := cell[i]; {
		case c == '{' || c == '}' || c == ',' || strings.IndexByte(value.Space, c) >= 0:
			i++
		case c == '"':
			i = k.quotedElement(b, cell, i+1)
		default:
			end := i + bytes.IndexAny(cell[i:], `,{}"\`)
			if end < i {
				end = len(cell)
			}
			text := bytes.TrimRight(cell[i:end], value.Space)
			if len(text) != len("NULL") || !bytes.EqualFold(text, []byte("NULL")) {
				k.appendKey(b, text)
			}
			if i = end; i < len(cell) && cell[i] == '\\' {
				return // not outside of quotes
			}
		}
	}
}

// quotedElement adds the element that begins at i, behind its quote, and returns where it ends.
func (k Key) quotedElement(b *KeyBuffer, cell []byte, i int) int {
	b.element = b.element[:0]
	for ; i < len(cell) && cell[i] != '"'; i++ {
		if cell[i] == '\\' && i+1 < len(cell) {
			i++
		}
		b.element = append(b.element, cell[i])
	}
	k.appendKey(b, b.element)
	return i + 1
}

// appendKey adds the key of one value's text. As in evaluation, what is not of the type reads as NULL, and has none.
func (k Key) appendKey(b *KeyBuffer, text []byte) {
	var v value.Operand
	if !k.read.Read(text, &v) {
		return
	}
	b.bytes = value.AppendOrdered(b.bytes, k.read.Domain, &v)
	b.ends = append(b.ends, len(b.bytes))
}
