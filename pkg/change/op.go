package change

import "fmt"

// Row holds one value per published column of its relation, in Postgres' text
// output form. A nil value is SQL NULL; an empty one that is not nil is the empty string.
type Row [][]byte

// unchanged is compared by address, so no row value can be mistaken for it.
var unchanged = []byte("unchanged TOAST")

// Unchanged stands in an update's new row for a large value that Postgres did
// not send again and that the old row did not hold either. It appears only on
// tables without REPLICA IDENTITY FULL.
func Unchanged() []byte { return unchanged }

// IsUnchanged reports whether v is the value that Unchanged returns.
func IsUnchanged(v []byte) bool { return len(v) > 0 && &v[0] == &unchanged[0] }

// Kind is what an op does.
type Kind uint8

// The kinds of op, as they stand in stored messages.
const (
	Insert   Kind = 1
	Update   Kind = 2
	Delete   Kind = 3
	Truncate Kind = 4 // of the whole table; no rows

	// Upsert and Discard stand in the units of shape logs only: an insert, or
	// an update if the row is there; and a delete, if the row is there.
	Upsert  Kind = 5
	Discard Kind = 6
)

func (k Kind) String() string {
	switch k {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	case Upsert:
		return "upsert"
	case Discard:
		return "discard"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Op is one change of a table.
type Op struct {
	Index uint64 // position in the transaction, in steps of OpStep
	Kind  Kind
	// Old is the row before an update or delete. It is nil when the table's
	// replica identity does not give it; KeyOnly says that it holds only the
	// key's columns, the others nil.
	Old     Row
	KeyOnly bool
	New     Row // the row after an insert or update
}

// Fragment is a run of ops of one transaction on one table.
type Fragment struct {
	XID        XID
	LSN        LSN    // of the commit record
	CommitTime int64  // microseconds since 1970-01-01 UTC
	Relation   string // fingerprint
	First      bool   // no earlier fragment of this transaction and table
	Last       bool   // the commit marker of this transaction on this table
	// Group is the index of the first op that could be in this flush: every
	// op of the transaction below it is stored, whatever its table.
	Group  uint64
	End    uint64   // with Last: the index after the transaction's last op
	Tables []uint32 // with Last: oids of every table touched, ascending
	Ops    []Op
	// Trace is the context of the transaction's trace (topology.HeaderTrace), "" where it is not traced. It is not part
	// of the stored form.
	Trace string
}

// Marker is the offset of the transaction's commit marker; it is meaningful
// with Last only.
func (f *Fragment) Marker() Offset { return Offset{LSN: f.LSN, Op: f.End} }
