package consumer

import (
	"iter"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// visibility remembers which of the transactions read from the change log a
// new snapshot might not see: a commit is in the WAL, and thus in the change
// log, before snapshots see it, with a synchronous standby by any length of
// time. A shape starts to read at the oldest of them. Owned by the main loop.
type visibility struct {
	seen   []readTxn
	newest readTxn // whether in seen or not

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
	if v.newest.lsn >= lsn {
		return
	}
	v.newest = readTxn{xid, lsn, first}
	if len(v.seen) < maxListed {
		v.seen = append(v.seen, v.newest)
		return
	}
	if v.unlisted == 0 || int32(uint32(xid)-uint32(v.maxUnlisted)) > 0 {
		v.maxUnlisted = xid
	}
	v.unlisted++
}

// crowded reports whether prune should be called.
func (v *visibility) crowded() bool { return len(v.seen) >= askPruneAt }

// prune forgets the transactions that s sees, and every later snapshot with it.
func (v *visibility) prune(s change.Snapshot) {
	if v.unlisted > 0 && s.Widen(v.maxUnlisted) < s.Xmin {
		v.unlisted = 0
	}
	if v.unlisted == 0 {
		v.seen = slices.Clip(slices.DeleteFunc(v.seen, func(t readTxn) bool { return s.Sees(t.xid) }))
	}
}

// unseen are the listed transactions that may be invisible to the snapshots that
// prune was told of last.
func (v *visibility) unseen() iter.Seq2[change.XID, change.LSN] {
	return func(yield func(change.XID, change.LSN) bool) {
		for _, t := range v.seen {
			if !yield(t.xid, t.lsn) {
				return
			}
		}
	}
}

// floor is the place of the oldest transaction that may be invisible, or ok
// is false when there is none.
func (v *visibility) floor() (lsn change.LSN, seq uint64, ok bool) {
	if len(v.seen) == 0 {
		return 0, 0, false
	}
	return v.seen[0].lsn, v.seen[0].first, true
}
