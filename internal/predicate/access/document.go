package access

import "github.com/shapebus/shapebus/internal/predicate/value"

// The keys of a DocumentKey say what stands at the top of a document: a key or a string, a key with a scalar value or an array,
// or another scalar; and whether it is an array. Strings are written as in JSON, so where one ends is clear.
const (
	ofName   = 'k'
	ofPair   = 'p'
	ofScalar = 's'
	ofArray  = 'a'
)

// DocumentKey is what stands at the top of a jsonb document: each key of an object, and each pair of it whose value is a scalar, or
// that it is an array; each scalar of an array, or the document itself; and that it is an array.
func DocumentKey(column int) Key { return Key{column: column, form: keyDocument} }

// NameKey is the key of documents that have a key of this name, or a string; quoted is the string in JSON, as Postgres writes it.
func NameKey(quoted string) string { return string(ofName) + quoted }

// PairKey is the key of objects with this pair: a string in JSON, and a scalar.
func PairKey(quoted, scalar []byte) string {
	return string(appendScalar(append([]byte{ofPair}, quoted...), scalar))
}

// ArrayPairKey is the key of objects of which the key with this name has an array.
func ArrayPairKey(quoted string) string { return string(ofPair) + quoted + "[" }

// ArrayKey is the key of arrays.
func ArrayKey() string { return string(ofArray) }

// ScalarKey is the key of arrays with the scalar, and of the scalar itself.
func ScalarKey(scalar []byte) string {
	if scalar[0] == '"' {
		return NameKey(string(scalar))
	}
	return string(appendScalar([]byte{ofScalar}, scalar))
}

// appendScalar writes numbers such that equal ones are equal.
func appendScalar(dst, scalar []byte) []byte {
	var v value.Operand
	if c := scalar[0]; (c == '-' || c >= '0' && c <= '9') && value.ParseDecimal(scalar, &v.Decimal) {
		return value.AppendOrdered(append(dst, '0'), value.DomainDecimal, &v)
	}
	return append(dst, scalar...)
}

func (k Key) appendDocument(b *KeyBuffer, cell []byte) {
	end := func() { b.ends = append(b.ends, len(b.bytes)) }
	if value.JSONKind(cell) == '[' {
		b.bytes = append(b.bytes, ofArray)
		end()
	}
	value.JSONMembers(cell, func(key, member []byte) bool {
		kind := value.JSONKind(member)
		switch {
		case key != nil:
			b.bytes = append(append(b.bytes, ofName), key...)
			end()
			switch kind {
			case '{':
			case '[':
				b.bytes = append(append(append(b.bytes, ofPair), key...), '[')
				end()
			default:
				b.bytes = appendScalar(append(append(b.bytes, ofPair), key...), member)
				end()
			}
		case kind == '{', kind == '[':
		case kind == '"':
			b.bytes = append(append(b.bytes, ofName), member...)
			end()
		default:
			b.bytes = appendScalar(append(b.bytes, ofScalar), member)
			end()
		}
		return true
	})
}
