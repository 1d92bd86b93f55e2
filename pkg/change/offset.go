package change

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// OpStep is the distance between the indexes of two consecutive ops of a
// transaction. It leaves room for a changed key to become a delete at the
// op's index and an insert at the index after it.
const OpStep = 2

// Offset is a place in the total order of ops: first the commit LSN of the
// transaction, then the op's index in it. Clients keep offsets; they stay
// valid across restarts, replays and other fragment sizes.
//
// The zero Offset is the place of a shape's initial snapshot, before every
// streamed op. A commit marker's Op is the index after the transaction's last.
type Offset struct {
	LSN LSN
	Op  uint64
}

// ParseOffset reads the text form "lsn_op", both decimal, such as "26800584_4".
func ParseOffset(s string) (Offset, error) {
	lsn, op, ok := strings.Cut(s, "_")
	if !ok {
		return Offset{}, fmt.Errorf("offset %q: want <lsn>_<op>, both decimal", s)
	}
	l, err := strconv.ParseUint(lsn, 10, 64)
	if err != nil {
		return Offset{}, fmt.Errorf("offset %q: %w", s, err)
	}
	o, err := strconv.ParseUint(op, 10, 64)
	if err != nil {
		return Offset{}, fmt.Errorf("offset %q: %w", s, err)
	}
	return Offset{LSN: LSN(l), Op: o}, nil
}

// String returns the text form "lsn_op", both decimal.
func (o Offset) String() string {
	b := make([]byte, 0, 32)
	b = strconv.AppendUint(b, uint64(o.LSN), 10)
	b = append(b, '_')
	return string(strconv.AppendUint(b, o.Op, 10))
}

// Compare orders offsets: negative if o comes before p, 0 if they are equal.
func (o Offset) Compare(p Offset) int {
	if c := cmp.Compare(o.LSN, p.LSN); c != 0 {
		return c
	}
	return cmp.Compare(o.Op, p.Op)
}

// Before reports whether o comes before p.
func (o Offset) Before(p Offset) bool { return o.Compare(p) < 0 }

// IsZero reports whether o is the place of the initial snapshot.
func (o Offset) IsZero() bool { return o == Offset{} }

// MarshalText and UnmarshalText use the form of String.
func (o Offset) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the form of String.
func (o *Offset) UnmarshalText(b []byte) error {
	p, err := ParseOffset(string(b))
	if err != nil {
		return err
	}
	*o = p
	return nil
}
