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

// Components returns the components of a key; nil stands for NULL. They are part of a key of bytes.
func Components[K string | []byte](key K) ([][]byte, error) {
	var out [][]byte
	for b := []byte(key); len(b) > 0; {
		text, rest, err := Component(b)
		if err != nil {
			return nil, err
		}
		out, b = append(out, text), rest
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

// Component takes the first component off a key that is not empty; nil stands for NULL.
func Component(key []byte) (text, rest []byte, err error) {
	n, size := binary.Uvarint(key)
	if size <= 0 || n > uint64(len(key)-size)+1 {
		return nil, nil, ErrKey
	}
	if rest = key[size:]; n == 0 {
		return nil, rest, nil
	}
	return rest[: n-1 : n-1], rest[n-1:], nil
}
