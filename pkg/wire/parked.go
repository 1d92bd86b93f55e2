package wire

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/vmihailenco/msgpack/v5"
)

// ParkedAt is a place in the change log that some shapes have come to.
type ParkedAt struct {
	LSN      uint64
	Deferred string // transactions before LSN that they do not have; see Tail.Deferred
	Handles  []string
}

// parkedMap is ParkedAt as it is stored. Tens of thousands of shapes may be parked at once, and a
// checkpoint is written every second, so handles take 16 bytes each.
type parkedMap struct {
	LSN      uint64   `msgpack:"lsn"`
	Deferred string   `msgpack:"aside,omitempty"`
	Packed   string   `msgpack:"packed,omitempty"`
	Handles  []string `msgpack:"handles,omitempty"` // those that are not of the usual form
}

// Handles of shapes are 16 hexadecimal digits, "-", and a number in base 36. Packed they are the
// digits as 8 bytes and the number as 8 more, both big-endian.
const (
	packedLen   = 16
	packedHalf  = 8
	digitsLen   = 16
	handleBase  = 36
	handleWidth = 27 // digits, "-", and a time in microseconds, as they are now
)

// EncodeMsgpack makes ParkedAt a msgpack.CustomEncoder.
func (p *ParkedAt) EncodeMsgpack(e *msgpack.Encoder) error {
	m := parkedMap{LSN: p.LSN, Deferred: p.Deferred}
	packed := make([]byte, 0, packedLen*len(p.Handles))
	for _, h := range p.Handles {
		var ok bool
		if packed, ok = appendPacked(packed, h); !ok {
			m.Handles = append(m.Handles, h)
		}
	}
	m.Packed = string(packed)
	return e.Encode(&m)
}

// DecodeMsgpack makes ParkedAt a msgpack.CustomDecoder.
func (p *ParkedAt) DecodeMsgpack(d *msgpack.Decoder) error {
	var m parkedMap
	if err := d.Decode(&m); err != nil {
		return err
	}
	if len(m.Packed)%packedLen != 0 {
		return corrupt("packed handles of %d bytes", len(m.Packed))
	}
	*p = ParkedAt{LSN: m.LSN, Deferred: m.Deferred, Handles: m.Handles}
	if len(m.Packed) == 0 {
		return nil
	}
	p.Handles = make([]string, 0, len(m.Packed)/packedLen+len(m.Handles))
	var h [2 * handleWidth]byte
	for b := []byte(m.Packed); len(b) > 0; b = b[packedLen:] {
		p.Handles = append(p.Handles, string(appendHandle(h[:0], b)))
	}
	p.Handles = append(p.Handles, m.Handles...)
	return nil
}

// appendPacked appends a handle's packed form. ok is false when it has none.
func appendPacked(b []byte, handle string) (out []byte, ok bool) {
	if len(handle) < digitsLen+2 || handle[digitsLen] != '-' {
		return b, false
	}
	var digits [packedHalf]byte
	if _, err := hex.Decode(digits[:], []byte(handle[:digitsLen])); err != nil {
		return b, false
	}
	n, err := strconv.ParseUint(handle[digitsLen+1:], handleBase, 64)
	if err != nil {
		return b, false
	}
	out = binary.BigEndian.AppendUint64(append(b, digits[:]...), n)
	var back [2 * handleWidth]byte
	if string(appendHandle(back[:0], out[len(b):])) != handle { // capitals, or zeros in front
		return b, false
	}
	return out, true
}

// appendHandle appends the handle whose packed form packed begins with.
func appendHandle(b, packed []byte) []byte {
	b = hex.AppendEncode(b, packed[:packedHalf])
	b = append(b, '-')
	return strconv.AppendUint(b, binary.BigEndian.Uint64(packed[packedHalf:packedLen]), handleBase)
}
