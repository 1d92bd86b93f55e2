package pg

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// NeedsError says that the connection's role may not do something, and which
// statement a person with the privilege has to run.
type NeedsError struct {
	What      string // what is missing, in words
	As        string // who can run Statement, such as "the owner of the table (role app)"
	Statement string // SQL
	Err       error  // the server's refusal; may be nil
}

func (e *NeedsError) Error() string {
	s := e.What
	if e.As != "" {
		s += "; run as " + e.As + ": " + e.Statement
	} else {
		s += "; run: " + e.Statement
	}
	return s
}

func (e *NeedsError) Unwrap() error { return e.Err }

// LockedError says that a table could not be locked in time,
// because other transactions have it open. Nothing was changed; try again.
type LockedError struct {
	Table   string
	Timeout time.Duration
	Holders []string // who holds it, for people: pid, role, state, age
	Err     error    // may be nil
}

func (e *LockedError) Error() string {
	s := fmt.Sprintf("table %s is in use by other transactions and did not become free within %s", e.Table, e.Timeout)
	if len(e.Holders) > 0 {
		s += " (" + strings.Join(e.Holders, "; ") + ")"
	}
	return s + "; nothing was changed: end those transactions or try again"
}

func (e *LockedError) Unwrap() error { return e.Err }

// NotFoundError says that there is no such table.
type NotFoundError struct {
	Schema, Name string
	Similar      []string // tables with close names, best first, as a person would write them
}

func (e *NotFoundError) Error() string {
	s := fmt.Sprintf("table %s does not exist in this database", Display(e.Schema, e.Name))
	if len(e.Similar) > 0 {
		s += "; did you mean " + strings.Join(e.Similar, " or ") + "?"
	}
	return s
}

// UnsupportedError says why a relation that exists cannot be a shape's table.
type UnsupportedError struct {
	Schema, Name string
	Reason       string // completes "schema.name …"
}

func (e *UnsupportedError) Error() string {
	return Display(e.Schema, e.Name) + " " + e.Reason
}

// ChangedError says that a table is not any more what it was when it was looked
// up: what a shape of it needs is gone or means something else.
type ChangedError struct {
	Reason string // a sentence that names the table
}

func (e *ChangedError) Error() string { return e.Reason }

// Permanent reports whether what Postgres said of a table will be said again,
// until a person changes something: the table is not there or is not what it was,
// or the role may not. Everything else, a lost connection or a lock
// among them, may be tried again.
func Permanent(err error) bool {
	var needs *NeedsError
	var notFound *NotFoundError
	var unsupported *UnsupportedError
	var changed *ChangedError
	if errors.As(err, &needs) || errors.As(err, &notFound) || errors.As(err, &unsupported) || errors.As(err, &changed) {
		return true
	}
	code := SQLState(err)
	if errors.Is(err, ErrSnapshotStale) || len(code) != 5 {
		return false
	}
	switch code[:2] {
	case "42": // what the statement names is not there, or may not be used
		return code != "42710" // somebody has just made the same
	case "0A", "22", "54": // not supported, a value that cannot be, too complex
		return true
	}
	return false
}

// ErrSnapshotStale says that a table was rewritten, truncated, renamed, or had a
// column renamed or a partition attached or detached after the snapshot was
// opened. Postgres would then show rows that were never all there at one moment.
// Open a new snapshot.
var ErrSnapshotStale = errors.New("it was rewritten, truncated or renamed, or its columns or partitions changed, after the snapshot was taken; take a new one")
