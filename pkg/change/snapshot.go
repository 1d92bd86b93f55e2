package change

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// XID is a top-level transaction id as it stands in the replication stream:
// 32 bits, wrapping.
type XID uint32

// FullXID is a transaction id with its epoch: 64 bits, never wrapping.
type FullXID uint64

// Snapshot is the set of transactions that a Postgres snapshot sees, as
// pg_current_snapshot() prints it, with the WAL insert position read with it.
type Snapshot struct {
	Xmin FullXID   // every id below it had ended
	Xmax FullXID   // no id from it on had ended
	Xip  []FullXID // ids in between that were still running, ascending
	LSN  LSN       // pg_current_wal_insert_lsn() in the snapshot's first statement
}

// ParseSnapshot reads Postgres' text form "xmin:xmax:xip,xip,…".
func ParseSnapshot(s string) (Snapshot, error) {
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return Snapshot{}, fmt.Errorf("snapshot %q: want xmin:xmax:xip", s)
	}
	var snap Snapshot
	xmin, err := strconv.ParseUint(parts[0], 10, 64)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %q: %w", s, err)
	}
	xmax, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot %q: %w", s, err)
	}
	snap.Xmin, snap.Xmax = FullXID(xmin), FullXID(xmax)
	if parts[2] == "" {
		return snap, nil
	}
	for x := range strings.SplitSeq(parts[2], ",") {
		v, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			return Snapshot{}, fmt.Errorf("snapshot %q: %w", s, err)
		}
		snap.Xip = append(snap.Xip, FullXID(v))
	}
	slices.Sort(snap.Xip)
	return snap, nil
}

// String returns Postgres' text form, without the LSN.
func (s Snapshot) String() string {
	b := strconv.AppendUint(nil, uint64(s.Xmin), 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, uint64(s.Xmax), 10)
	b = append(b, ':')
	for i, x := range s.Xip {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(x), 10)
	}
	return string(b)
}

// Widen gives x its epoch, taking it to be within 2^31 transactions of the
// snapshot. That is Postgres' own horizon for comparing 32-bit ids.
func (s Snapshot) Widen(x XID) FullXID {
	return s.Xmax + FullXID(int64(int32(uint32(x)-uint32(s.Xmax))))
}

// Sees reports whether a top-level transaction is visible in s. The caller
// knows that it committed.
func (s Snapshot) Sees(x XID) bool {
	full := s.Widen(x)
	if full < s.Xmin {
		return true
	}
	if full >= s.Xmax {
		return false
	}
	_, running := slices.BinarySearch(s.Xip, full)
	return !running
}

// Holds reports whether a transaction that committed at commit under x is part
// of what s read, so that its ops must not be applied on top of it again.
//
// Both tests are needed: a commit stands in the WAL (and is streamed) before
// new snapshots see it, so the order of LSNs and the order of visibility
// differ; and ids alone say nothing about what committed after the snapshot.
func (s Snapshot) Holds(x XID, commit LSN) bool { return commit < s.LSN && s.Sees(x) }
