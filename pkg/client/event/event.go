package event

import (
	"time"

	"github.com/shapebus/shapebus/pkg/change"
)

// Event is one of Begin, Change, Commit, Abort, CaughtUp and Stalled. An app acts on
// those it knows and ignores the rest.
type Event interface{ event() }

// Begin opens a transaction. Its changes follow, then its Commit or an Abort.
type Begin struct {
	LSN  change.LSN // of its commit; of the snapshot's WAL position for the snapshot
	XID  change.XID // 0 for the snapshot
	Time time.Time  // of its commit in Postgres; zero for the snapshot
	// Unit says that several transactions come as one, because what a subquery
	// of the shape selects has changed. LSN, XID and Time are those of the first
	// of them; Commit has those of the last.
	Unit bool
	// Snapshot marks the initial snapshot: all rows at one moment, as inserts.
	Snapshot bool
	// Rows is how many rows the snapshot holds; 0 for other transactions,
	// whose size is not known before their end.
	Rows uint64
	// Trace is the context of the transaction's trace as W3C Trace Context writes it (traceparent), where it is
	// traced and came by itself; else "". Package client says how to go on with it.
	Trace string
}

// Change is one op. In a unit there are two more kinds: Upsert inserts
// the row or replaces the one with its key, and Discard deletes the row
// with that key if it is there.
//
// Its Offset with the shape's handle is a Position, too: the rest of its transaction then comes
// between a Begin and a Commit of its own.
type Change struct {
	Kind   change.Kind
	Offset change.Offset // the zero Offset for rows of the snapshot
	XID    change.XID    // of its transaction, also inside a unit; 0 for rows of the snapshot
	// Row holds the shape's columns after an insert, update or upsert and the
	// key columns only for a delete or discard. It is empty for a truncate, which
	// removes all rows. It is valid until the iteration goes on; see Row.Clone.
	Row Row
}

// Commit ends a transaction.
type Commit struct {
	Handle   string        // of the shape
	Offset   change.Offset // its place in the shape's log
	LSN      change.LSN
	XID      change.XID
	Time     time.Time
	Snapshot bool
	Unit     bool
	Changes  uint64 // how many came since Begin
	// Passed is the LSN up to which nothing is missing: every transaction that
	// committed up to it has come. 0 says that it is not known here: after the
	// snapshot, or a generation's rows, or when a later Commit will tell. It is less than LSN while some
	// transactions are deferred by the unit before, to come after it. Those may change
	// nothing here, and then no later Commit says that they came; the Wait of a view and the Reach of a
	// shape learn it.
	Passed change.LSN
	Trace  string // as of Begin
}

// Position is what to keep, together with the transaction's effects: Subscribe goes on behind it.
func (c Commit) Position() Position { return Position{Handle: c.Handle, Offset: c.Offset} }

// Abort takes back what came since the last Begin, and takes the place of its Commit: undo
// it, or roll back. It comes in shapes with subqueries, and when a log is found to
// have been replaced. What it stood for comes again behind it.
type Abort struct {
	Offset change.Offset // of the last Commit, where the app is again
}

// CaughtUp says that everything committed in the log so far has been handed
// out. It comes once after the backlog, and again each time the subscription
// had fallen behind and had to read from the log.
type CaughtUp struct {
	Offset change.Offset // of the last Commit, this run's or an earlier one's
}

// Stalled says that reading fails and is tried again: what was handed out may not be
// up to date. It comes once for each such time, also inside a transaction, which goes
// on behind it. CaughtUp comes when it is over.
type Stalled struct {
	Since time.Time
	Err   error // what failed, and on what
}

func (Begin) event()    {}
func (Change) event()   {}
func (Commit) event()   {}
func (Abort) event()    {}
func (CaughtUp) event() {}
func (Stalled) event()  {}
