package wire

import (
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
)

// Tail says where a shape log stands after one of its messages. It travels in
// a header of every message, so that the last message alone tells a reader how
// far the log counts and a new writer where to go on.
type Tail struct {
	Last          change.Offset // of the last op or marker
	Committed     change.Offset // of the last commit marker
	Began         bool          // the log holds its initial snapshot
	Ended         bool          // the shape ended; see EntryEnd
	Rows          int64         // rows of the shape after Last
	CommittedRows int64         // rows of the shape after Committed
	Bytes         int64         // all the log's messages up to this one, segments not counted
}

// Open reports whether the log stands inside a transaction.
func (t Tail) Open() bool { return t.Last != t.Committed }

// String returns the header's form:
// "<last> <committed> <state> <rows> <committed rows> <bytes>", where state is
// "new", "live" or "ended".
func (t Tail) String() string {
	state := "new"
	switch {
	case t.Ended:
		state = "ended"
	case t.Began:
		state = "live"
	}
	return fmt.Sprintf("%s %s %s %d %d %d", t.Last, t.Committed, state, t.Rows, t.CommittedRows, t.Bytes)
}

// ParseTail reads the form of String.
func ParseTail(s string) (Tail, error) {
	var t Tail
	var last, committed, state string
	if _, err := fmt.Sscanf(s, "%s %s %s %d %d %d", &last, &committed, &state, &t.Rows, &t.CommittedRows, &t.Bytes); err != nil {
		return Tail{}, corrupt("log tail %q: %v", s, err)
	}
	var err error
	if t.Last, err = change.ParseOffset(last); err != nil {
		return Tail{}, corrupt("log tail %q: %v", s, err)
	}
	if t.Committed, err = change.ParseOffset(committed); err != nil {
		return Tail{}, corrupt("log tail %q: %v", s, err)
	}
	switch state {
	case "new":
	case "live":
		t.Began = true
	case "ended":
		t.Began, t.Ended = true, true
	default:
		return Tail{}, corrupt("log tail %q: state %q", s, state)
	}
	return t, nil
}
