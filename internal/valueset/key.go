package valueset

import (
	"encoding/binary"
	"errors"
)

// ErrKey says that a key is not one that AppendComponent made.
var ErrKey = errors.New("malformed key of a value set")

// AppendComponent appends one component of a value to its key: 0 for NULL,
// else its length plus 1 and its canonical text.
func AppendComponent(key, text []byte) []byte {
	if text == nil {
		return append(key, 0)
	}
	key = binary.AppendUvarint(key, uint64(len(text))+1)
	return append(key, text...)
}

// Components returns the components of a key; nil stands for NULL.
func Components[K string | []byte](key K) ([][]byte, error) {
	var out [][]byte
	for b := []byte(key); len(b) > 0; {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size)+1 {
			return nil, ErrKey
		}
		b = b[size:]
		if n == 0 {
			out = append(out, nil)
			continue
		}
		out = append(out, b[:n-1:n-1])
		b = b[n-1:]
	}
	return out, nil
}

// HasNull reports whether a component of the key is NULL.
func HasNull[K string | []byte](key K) bool {
	for i := 0; i < len(key); {
		if key[i] == 0 {
			return true
		}
		n, shift := uint64(0), 0
		for i < len(key) && key[i] >= 0x80 {
			n |= uint64(key[i]&0x7f) << shift
			shift += 7
			i++
		}
		if i >= len(key) {
			return false
		}
		n |= uint64(key[i]) << shift
		i += int(n) // 1 for the length's last byte, n-1 for the text
	}
	return false
}
