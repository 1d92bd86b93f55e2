package changelog

import (
	"iter"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// Visibility remembers which of the transactions read from the change log a
// new snapshot might not see: a commit is in the WAL, and thus in the change
// log, before snapshots see it, with a synchronous standby by any length of
// time. A shape starts to read at the oldest of them. Owned by the main loop.
type Visibility struct {
	seen   []readTxn
	newest readTxn // whether in seen or not

	// Once the list is full, transactions are only counted in here, and the
	// oldest place stays until a snapshot's xmin has passed them all.
	unlisted    int
	maxUnlisted change.XID

	looks looks
}

type readTxn struct {
	xid   change.XID
	lsn   change.LSN
	first uint64 // sequence of its first change log message
}

func (t readTxn) place() Place { return Place{LSN: t.lsn, Seq: t.first} }

// maxListed bounds the list at 3 MB; askPruneAt is when it pays to ask
// Postgres what has become visible.
const (
	maxListed  = 1 << 17
	askPruneAt = 1 << 13
)

// See notes a transaction, at each of its fragments.
func (v *Visibility) See(xid change.XID, lsn change.LSN, first uint64) {
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

// Crowded reports whether prune should be called.
func (v *Visibility) Crowded() bool { return len(v.seen) >= askPruneAt }

// Prune forgets the transactions that s sees, and every later snapshot with it.
func (v *Visibility) Prune(s change.Snapshot) {
	if v.unlisted > 0 && s.Widen(v.maxUnlisted) < s.Xmin {
		v.unlisted = 0
		v.looks.lose() // nobody can say which of them an earlier snapshot does not see
	}
	if v.unlisted > 0 {
		return
	}
	v.looks.prune(v.seen, s)
	v.seen = slices.Clip(slices.DeleteFunc(v.seen, func(t readTxn) bool { return s.Sees(t.xid) }))
}

// Unseen are the transactions that may be invisible to a snapshot that was opened in a look. complete is false if there are
// more of them than are known.
func (v *Visibility) Unseen(l *Look) (unseen iter.Seq2[change.XID, change.LSN], complete bool) {
	pruned, all := v.looks.since(l)
	return func(yield func(change.XID, change.LSN) bool) {
		for _, list := range [][]readTxn{v.seen, pruned} {
			for _, t := range list {
				if !yield(t.xid, t.lsn) {
					return
				}
			}
		}
	}, all && v.unlisted == 0
}

// Floor is the place of the oldest transaction that may be invisible, or ok
// is false when there is none.
func (v *Visibility) Floor() (p Place, ok bool) {
	if len(v.seen) == 0 {
		return Place{}, false
	}
	return v.seen[0].place(), true
}

// Last is the place of the last transaction that was read, or ok is false when there is none.
func (v *Visibility) Last() (p Place, ok bool) { return v.newest.place(), v.newest.lsn != 0 }

// Empty reports whether all that was read is visible.
func (v *Visibility) Empty() bool { return len(v.seen) == 0 }
