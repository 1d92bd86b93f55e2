package reconcile

import (
	"iter"

	"github.com/shapebus/shapebus/pkg/change"
)

// Txn is a transaction's place in the change log.
type Txn struct {
	XID   change.XID // 0 if it is not known, or if this is the place where a shape begins
	LSN   change.LSN // of the commit
	First uint64     // sequence of its first message
}

// LSNs lists the commits of transactions, as wire.FormatDeferred wants them.
func LSNs(txns []Txn) []change.LSN {
	lsns := make([]change.LSN, 0, len(txns))
	for _, t := range txns {
		lsns = append(lsns, t.LSN)
	}
	return lsns
}

// Usable reports whether a snapshot can be that of a unit which opener opens.
// It must see opener and everything that the shapes have, because a row that is
// read back would undo what the snapshot does not see. unseen are the transactions that may be
// hidden from the snapshot, of all that has been read from the change log.
func Usable(q change.Snapshot, opener Txn, s Standing, unseen iter.Seq2[change.XID, change.LSN]) bool {
	if opener.XID != 0 && !q.Sees(opener.XID) {
		return false
	}
	upTo := max(opener.LSN, s.At)
	for x, lsn := range unseen {
		if lsn > upTo || q.Sees(x) {
			continue
		}
		if lsn == opener.LSN || !s.isDeferred(lsn) {
			return false
		}
	}
	return true
}

// place is where an op stands in the logs of shapes that have everything up to
// at, but what is deferred: at its own offset, or, if its transaction was deferred,
// behind the last index that any of the logs has at that LSN.
func place(at change.LSN, last uint64, lsn change.LSN, index uint64) change.Offset {
	if lsn > at {
		return change.Offset{LSN: lsn, Op: index}
	}
	return change.Offset{LSN: at, Op: last + change.OpStep + index}
}

// passed is place's last after a transaction whose marker has the index end in
// the change log.
func passed(at change.LSN, last uint64, lsn change.LSN, end uint64) uint64 {
	if lsn > at {
		return last
	}
	return place(at, last, lsn, end).Op
}
