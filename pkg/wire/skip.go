package wire

import "github.com/vmihailenco/msgpack/v5/msgpcode"

// maxDepth is how deep values may be nested; our own go to three.
const maxDepth = 16

// skip passes over one value of any type. It is how a map is checked before a
// generic decoder gets it, which believes lengths and recurses without
// limit, so a few hostile bytes could take all memory.
func (r *reader) skip(depth int) {
	const want = "a value"
	if depth > maxDepth {
		r.err = corrupt("values nested more than %d deep", maxDepth)
		r.b = nil
		return
	}
	if len(r.b) == 0 {
		r.fail(want)
		return
	}
	switch c := r.b[0]; {
	case c <= msgpcode.PosFixedNumHigh, c >= msgpcode.NegFixedNumLow,
		c == msgpcode.Nil, c == msgpcode.False, c == msgpcode.True:
		r.b = r.b[1:]
	case c == msgpcode.Uint8, c == msgpcode.Int8:
		r.take(1, want)
	case c == msgpcode.Uint16, c == msgpcode.Int16:
		r.take(2, want)
	case c == msgpcode.Uint32, c == msgpcode.Int32, c == msgpcode.Float:
		r.take(4, want)
	case c == msgpcode.Uint64, c == msgpcode.Int64, c == msgpcode.Double:
		r.take(8, want)
	case msgpcode.IsFixedMap(c), c == msgpcode.Map16, c == msgpcode.Map32:
		for n := 2 * r.mapLen(); n > 0 && r.err == nil; n-- {
			r.skip(depth + 1)
		}
	case msgpcode.IsFixedArray(c), c == msgpcode.Array16, c == msgpcode.Array32:
		for n := r.array(); n > 0 && r.err == nil; n-- {
			r.skip(depth + 1)
		}
	default:
		r.bytes() // refuses what we never write: binary, extensions
	}
}

// mapLen returns the number of a map's pairs.
func (r *reader) mapLen() uint64 {
	const want = "a map"
	var n uint64
	switch c := r.b[0]; {
	case msgpcode.IsFixedMap(c):
		n = uint64(c & msgpcode.FixedMapMask)
		r.b = r.b[1:]
	case c == msgpcode.Map16:
		n = r.take(2, want)
	default:
		n = r.take(4, want)
	}
	return n
}
