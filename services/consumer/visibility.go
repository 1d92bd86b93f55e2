package consumer

import "github.com/shapebus/shapebus/pkg/change"

// visibility remembers which of the transactions read from the change log a
// new snapshot might not see: a commit is in the WAL, and thus in the change
// log, before snapshots see it, with a synchronous standby by any length of
// time. A shape starts to read at the oldest of them. Owned by the main loop.
type visibility struct {
	seen []readTxn

	// Once the list is full, transactions are only counted in here, and the
	// oldest place stays until a snapshot's xmin has passed them all.
	unlisted    int
	maxUnlisted change.XID
}

type readTxn struct {
	xid   change.XID
	lsn   change.LSN
	first uint64 // sequence of its first change log message
}

// maxListed bounds the list at 3 MB; askPruneAt is when it pays to ask
// Postgres what is visible by now.
const (
	maxListed  = 1 << 17
	askPruneAt = 1 << 13
)

// see notes a transaction, at each of its fragments.
func (v *visibility) see(xid change.XID, lsn change.LSN, first uint64) {
	if n := len(v.seen); n > 0 && v.seen[n-1].lsn >= lsn {
		return
	}
	if len(v.seen) < maxListed {
		v.seen = append(v.seen, readTxn{xid, lsn, first})
		return
	}
	if v.unlisted == 0 || int32(uint32(xid)-uint32(v.maxUnlisted)) > 0 {
		v.maxUnlisted = xid
	}
	v.unlisted++
}

// crowded reports whether prune should be called.
func (v *visibility) crowded() bool { return len(v.seen) >= askPruneAt }

// prune forgets the transactions that s sees, and every later snapshot with
// it. The newest is kept: the change log must not be trimmed above it, since
// ingest goes on from there.
func (v *visibility) prune(s change.Snapshot) {
	if v.unlisted > 0 && s.Widen(v.maxUnlisted) < s.Xmin {
		v.unlisted = 0
	}
	if len(v.seen) == 0 || v.unlisted > 0 {
		return
	}
	newest := v.seen[len(v.seen)-1]
	kept := v.seen[:0]
	for _, t := range v.seen[:len(v.seen)-1] {
		if !s.Sees(t.xid) {
			kept = append(kept, t)
		}
	}
	kept = append(kept, newest)
	v.seen = append([]readTxn(nil), kept...)
}

// floor is the place of the oldest transaction that may be invisible, or ok
// is false before any was read.
func (v *visibility) floor() (lsn change.LSN, seq uint64, ok bool) {
	if len(v.seen) == 0 {
		return 0, 0, false
	}
	return v.seen[0].lsn, v.seen[0].first, true
}
