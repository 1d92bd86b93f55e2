package pg

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
)

// digest names lists of texts: equal for equal lists, whatever the texts hold.
type digest struct{ hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

func (d digest) write(fields ...string) {
	d.Write([]byte(strconv.Itoa(len(fields)) + ";"))
	for _, s := range fields {
		d.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
}

// String is 16 hex digits.
func (d digest) String() string { return hex.EncodeToString(d.Sum(nil)[:8]) }
