package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/shapebus/shapebus/pkg/change"
)

// ErrCorrupt is wrapped by every error about a body that is not what its
// version says. Nothing this package wrote gives it.
var ErrCorrupt = errors.New("malformed message")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// reader walks a body in place. The first error sticks; after it every read
// gives a zero value, so callers check once.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(want string) {
	if r.err == nil {
		if len(r.b) == 0 {
			r.err = corrupt("ends where %s should stand", want)
		} else {
			r.err = corrupt("0x%02x where %s should stand", r.b[0], want)
		}
	}
	r.b = nil
}

func (r *reader) more() bool { return r.err == nil && len(r.b) > 0 }

// take returns the big-endian number in the n bytes after the code byte.
func (r *reader) take(n int, want string) uint64 {
	if len(r.b) < 1+n {
		r.fail(want)
		return 0
	}
	var v uint64
	switch n {
	case 1:
		v = uint64(r.b[1])
	case 2:
		v = uint64(binary.BigEndian.Uint16(r.b[1:]))
	case 4:
		v = uint64(binary.BigEndian.Uint32(r.b[1:]))
	case 8:
		v = binary.BigEndian.Uint64(r.b[1:])
	}
	r.b = r.b[1+n:]
	return v
}

// uint reads a number that is not negative. The common case is short enough to
// be inlined.
func (r *reader) uint() uint64 {
	if len(r.b) > 0 && r.b[0] <= msgpcode.PosFixedNumHigh {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v
	}
	return r.longUint()
}

func (r *reader) longUint() uint64 {
	const want = "an unsigned number"
	if len(r.b) == 0 {
		r.fail(want)
		return 0
	}
	switch c := r.b[0]; {
	case c == msgpcode.Uint8:
		return r.take(1, want)
	case c == msgpcode.Uint16:
		return r.take(2, want)
	case c == msgpcode.Uint32:
		return r.take(4, want)
	case c == msgpcode.Uint64:
		return r.take(8, want)
	case c >= msgpcode.Int8 && c <= msgpcode.Int64: // as other encoders write positive numbers
		if v := r.int(); v >= 0 {
			return uint64(v)
		}
		r.err = corrupt("a negative number where %s should stand", want)
		r.b = nil
		return 0
	}
	r.fail(want)
	return 0
}

func (r *reader) int() int64 {
	const want = "a number"
	if len(r.b) == 0 {
		r.fail(want)
		return 0
	}
	switch c := r.b[0]; {
	case c >= msgpcode.NegFixedNumLow:
		r.b = r.b[1:]
		return int64(int8(c))
	case c == msgpcode.Int8:
		return int64(int8(r.take(1, want)))
	case c == msgpcode.Int16:
		return int64(int16(r.take(2, want)))
	case c == msgpcode.Int32:
		return int64(int32(r.take(4, want)))
	case c == msgpcode.Int64:
		return int64(r.take(8, want))
	}
	v := r.uint()
	if v > math.MaxInt64 {
		r.err = corrupt("number %d is too large", v)
		return 0
	}
	return int64(v)
}

func (r *reader) bool() bool {
	if len(r.b) == 0 || (r.b[0] != msgpcode.True && r.b[0] != msgpcode.False) {
		r.fail("true or false")
		return false
	}
	v := r.b[0] == msgpcode.True
	r.b = r.b[1:]
	return v
}

// array returns the length of an array. Each element takes at least a byte,
// so a length beyond the body is refused before anything is allocated for it.
func (r *reader) array() int { return r.arrayOf(1) }

// arrayOf is array for elements of at least size bytes each.
func (r *reader) arrayOf(size uint64) int {
	const want = "an array"
	if len(r.b) == 0 {
		r.fail(want)
		return 0
	}
	var n uint64
	switch c := r.b[0]; {
	case c >= msgpcode.FixedArrayLow && c <= msgpcode.FixedArrayHigh:
		n = uint64(c & msgpcode.FixedArrayMask)
		r.b = r.b[1:]
	case c == msgpcode.Array16:
		n = r.take(2, want)
	case c == msgpcode.Array32:
		n = r.take(4, want)
	default:
		r.fail(want)
		return 0
	}
	if n*size > uint64(len(r.b)) { // n has 32 bits
		r.err = corrupt("an array of %d elements in %d bytes", n, len(r.b))
		r.b = nil
		return 0
	}
	return int(n)
}

// tuple reads an array that must have n elements.
func (r *reader) tuple(n int, what string) {
	if len(r.b) > 0 && r.b[0] == msgpcode.FixedArrayLow|byte(n) && len(r.b) > n { // as this package writes it
		r.b = r.b[1:]
		return
	}
	if got := r.array(); got != n && r.err == nil {
		r.err = corrupt("%s has %d elements, want %d", what, got, n)
		r.b = nil
	}
}

// nilNext consumes a nil if one stands next.
func (r *reader) nilNext() bool {
	if len(r.b) > 0 && r.b[0] == msgpcode.Nil {
		r.b = r.b[1:]
		return true
	}
	return false
}

// bytes returns a string's bytes in place.
func (r *reader) bytes() []byte {
	const want = "a string"
	if len(r.b) == 0 {
		r.fail(want)
		return nil
	}
	var n uint64
	switch c := r.b[0]; {
	case c >= msgpcode.FixedStrLow && c <= msgpcode.FixedStrHigh:
		n = uint64(c & msgpcode.FixedStrMask)
		r.b = r.b[1:]
	case c == msgpcode.Str8:
		n = r.take(1, want)
	case c == msgpcode.Str16:
		n = r.take(2, want)
	case c == msgpcode.Str32:
		n = r.take(4, want)
	default:
		r.fail(want)
		return nil
	}
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.b)) {
		r.err = corrupt("a string of %d bytes where %d are left", n, len(r.b))
		r.b = nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) value() []byte {
	if len(r.b) == 0 {
		r.fail("a value")
		return nil
	}
	switch r.b[0] {
	case msgpcode.Nil:
		r.b = r.b[1:]
		return nil
	case msgpcode.False:
		r.b = r.b[1:]
		return change.Unchanged()
	}
	return r.bytes()
}

func (r *reader) version() {
	if v := r.uint(); r.err == nil && v != Version {
		r.err = fmt.Errorf("message version %d: this program reads version %d; upgrade it", v, Version)
		r.b = nil
	}
}
