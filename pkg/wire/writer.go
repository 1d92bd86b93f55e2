package wire

import (
	"encoding/binary"
	"math"

	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/shapebus/shapebus/pkg/change"
)

// writer appends values in MessagePack's shortest forms. It is written by hand
// because it runs for every value of every row; the tests compare it with a
// generic encoder.
type writer struct{ b []byte }

// keepBytes is the largest buffer that is kept for the next message; a row of
// tens of megabytes must not pin its size for ever.
const keepBytes = 1 << 20

func (w *writer) reset() {
	if cap(w.b) > keepBytes {
		w.b = nil
		return
	}
	w.b = w.b[:0]
}

func (w *writer) code8(c byte, v uint64) { w.b = append(w.b, c, byte(v)) }
func (w *writer) code16(c byte, v uint64) {
	w.b = binary.BigEndian.AppendUint16(append(w.b, c), uint16(v))
}

func (w *writer) code32(c byte, v uint64) {
	w.b = binary.BigEndian.AppendUint32(append(w.b, c), uint32(v))
}
func (w *writer) code64(c byte, v uint64) { w.b = binary.BigEndian.AppendUint64(append(w.b, c), v) }

func (w *writer) uint(v uint64) {
	switch {
	case v <= uint64(msgpcode.PosFixedNumHigh):
		w.b = append(w.b, byte(v))
	case v <= math.MaxUint8:
		w.code8(msgpcode.Uint8, v)
	case v <= math.MaxUint16:
		w.code16(msgpcode.Uint16, v)
	case v <= math.MaxUint32:
		w.code32(msgpcode.Uint32, v)
	default:
		w.code64(msgpcode.Uint64, v)
	}
}

func (w *writer) int(v int64) {
	switch {
	case v >= 0:
		w.uint(uint64(v))
	case v >= int64(int8(msgpcode.NegFixedNumLow)):
		w.b = append(w.b, byte(v))
	case v >= math.MinInt8:
		w.code8(msgpcode.Int8, uint64(v))
	case v >= math.MinInt16:
		w.code16(msgpcode.Int16, uint64(v))
	case v >= math.MinInt32:
		w.code32(msgpcode.Int32, uint64(v))
	default:
		w.code64(msgpcode.Int64, uint64(v))
	}
}

func (w *writer) array(n int) {
	switch {
	case n <= int(msgpcode.FixedArrayMask):
		w.b = append(w.b, msgpcode.FixedArrayLow|byte(n))
	case n <= math.MaxUint16:
		w.code16(msgpcode.Array16, uint64(n))
	default:
		w.code32(msgpcode.Array32, uint64(n))
	}
}

func (w *writer) strLen(n int) {
	switch {
	case n <= int(msgpcode.FixedStrMask):
		w.b = append(w.b, msgpcode.FixedStrLow|byte(n))
	case n <= math.MaxUint8:
		w.code8(msgpcode.Str8, uint64(n))
	case n <= math.MaxUint16:
		w.code16(msgpcode.Str16, uint64(n))
	default:
		w.code32(msgpcode.Str32, uint64(n))
	}
}

func (w *writer) str(s string) {
	w.strLen(len(s))
	w.b = append(w.b, s...)
}

func (w *writer) nil() { w.b = append(w.b, msgpcode.Nil) }

func (w *writer) bool(v bool) {
	if v {
		w.b = append(w.b, msgpcode.True)
	} else {
		w.b = append(w.b, msgpcode.False)
	}
}

// value writes a column's value: nil, false (unchanged) or its text.
func (w *writer) value(v []byte) {
	switch {
	case v == nil:
		w.nil()
	case change.IsUnchanged(v):
		w.bool(false)
	default:
		w.strLen(len(v))
		w.b = append(w.b, v...)
	}
}

func (w *writer) row(r change.Row) {
	if r == nil {
		w.nil()
		return
	}
	w.array(len(r))
	for _, v := range r {
		w.value(v)
	}
}
