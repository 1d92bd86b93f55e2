package wire

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
)

// Tail says where a shape log stands after one of its messages. It travels in
// a header of every message, so that the last message alone tells a reader how
// far the log counts and a new writer where to go on.
type Tail struct {
	Last          change.Offset // of the last op or marker
	Committed     change.Offset // of the last commit marker
	Began         bool          // the log holds its initial snapshot, or ended before it did
	Ended         bool          // the shape ended; see EntryEnd
	Rows          int64         // rows of the shape after Last; -1 when upserts and discards leave it open
	CommittedRows int64         // rows of the shape after Committed
	Bytes         int64         // all the log's messages up to this one, segments not counted
	// Deferred lists the transactions before Committed that the log does not hold
	// yet, because the snapshot of the unit before did not see them; see ParseDeferred.
	Deferred string
}

// Open reports whether the log stands inside a transaction.
func (t Tail) Open() bool { return t.Last != t.Committed }

// String returns the header's form:
// "<last> <committed> <state> <rows> <committed rows> <bytes>", where state is
// "new", "live" or "ended", and if there is something deferred " <lsn>,<lsn>…".
func (t Tail) String() string {
	state := stateNew
	switch {
	case t.Ended:
		state = stateEnded
	case t.Began:
		state = stateLive
	}
	s := fmt.Sprintf("%s %s %s %d %d %d", t.Last, t.Committed, state, t.Rows, t.CommittedRows, t.Bytes)
	if t.Deferred != "" {
		s += " " + t.Deferred
	}
	return s
}

// FormatDeferred writes Tail.Deferred.
func FormatDeferred(lsns []change.LSN) string {
	var b []byte
	for i, l := range lsns {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(l), 10)
	}
	return string(b)
}

// ParseDeferred reads Tail.Deferred: LSNs of commits, ascending.
func ParseDeferred(s string) ([]change.LSN, error) {
	if s == "" {
		return nil, nil
	}
	var lsns []change.LSN
	for f := range strings.SplitSeq(s, ",") {
		l, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return nil, corrupt("deferred transactions %q: %v", s, err)
		}
		lsns = append(lsns, change.LSN(l))
	}
	return lsns, nil
}

// The words for Began and Ended in a tail.
const (
	stateNew   = "new"
	stateLive  = "live"
	stateEnded = "ended"
)

// ParseTail reads the form of String.
func ParseTail(s string) (Tail, error) {
	t, err := parseTail(s)
	if err != nil {
		return Tail{}, corrupt("log tail %q: %v", s, err)
	}
	return t, nil
}

const tailFields = 6

func parseTail(s string) (t Tail, err error) {
	var f [tailFields]string
	rest, more := s, true
	for i := range f {
		if !more {
			return t, fmt.Errorf("%d fields, want %d", i, tailFields)
		}
		f[i], rest, more = strings.Cut(rest, " ")
	}
	if more {
		if _, err := ParseDeferred(rest); err != nil || rest == "" || strings.Contains(rest, " ") {
			return t, fmt.Errorf("%q behind %d fields", rest, tailFields)
		}
		t.Deferred = rest
	}
	if t.Last, err = change.ParseOffset(f[0]); err != nil {
		return t, err
	}
	if t.Committed, err = change.ParseOffset(f[1]); err != nil {
		return t, err
	}
	switch f[2] {
	case stateNew:
	case stateLive:
		t.Began = true
	case stateEnded:
		t.Began, t.Ended = true, true
	default:
		return t, fmt.Errorf("state %q", f[2])
	}
	for i, n := range []*int64{&t.Rows, &t.CommittedRows, &t.Bytes} {
		if *n, err = strconv.ParseInt(f[3+i], 10, 64); err != nil {
			return t, err
		}
	}
	return t, nil
}
