package client

import (
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
)

// The values that events and shapes are made of, so that an app needs no other import.
type (
	// Offset is a place in the log of one shape: the LSN of a commit and an index in its transaction.
	Offset = change.Offset
	// LSN is a place in Postgres' write-ahead log.
	LSN = change.LSN
	// XID is the id of a Postgres transaction.
	XID = change.XID
	// Kind is what a Change does.
	Kind = change.Kind
	// Column describes a column of a shape.
	Column = control.Column
	// ShapeInfo is what the control plane says of a shape.
	ShapeInfo = control.Shape
	// SourceStatus is what the control plane says of a source.
	SourceStatus = control.Status
	// State is where a shape stands in its life.
	State = control.State
)

// What reading a shape gives: events with their rows, positions, and the errors that end it. Package event has them, so
// that what reads the logs can make them.
type (
	// Event is one of Begin, Change, Commit, Abort, CaughtUp and Stalled. An app acts on
	// those it knows and ignores the rest.
	Event = event.Event
	// Begin opens a transaction. Its changes follow, then its Commit or an Abort.
	Begin = event.Begin
	// Change is one op.
	Change = event.Change
	// Commit ends a transaction.
	Commit = event.Commit
	// Abort takes back what came since the last Begin, and takes the place of its Commit: undo it, or roll back.
	Abort = event.Abort
	// CaughtUp says that everything committed in the log so far has been handed out.
	CaughtUp = event.CaughtUp
	// Stalled says that reading fails and is tried again: what was handed out may not be up to date.
	Stalled = event.Stalled
	// Row is a row of a shape, or the key of one. Values are in Postgres' text output form.
	Row = event.Row
	// Position is a place in a shape: behind Offset in the log of Handle. It is what an app keeps, as
	// a value or as text, and gives to [Shape.Subscribe] to go on.
	Position = event.Position
	// MustRefetchError ends the reading of one incarnation of a shape: create it again and read it from the beginning.
	MustRefetchError = event.MustRefetchError
	// PermanentError ends the reading of a shape, or a request, because of something that trying again does not mend.
	PermanentError = event.PermanentError
	// BrokenLogError says that a shape's log contradicts itself; please report it.
	BrokenLogError = event.BrokenLogError
	// RequestError is the control plane's refusal of a request.
	RequestError = event.RequestError
)

// ErrNotFound says that there is no such shape; to test for with errors.Is.
var ErrNotFound = event.ErrNotFound

// Beginning is the zero Position: before the snapshot.
func Beginning() Position { return event.Beginning() }

// ParsePosition reads the form of Position.String.
func ParsePosition(s string) (Position, error) { return event.ParsePosition(s) }

// The kinds of a Change. Upsert and Discard come in units only, see Begin.Unit.
const (
	Insert   = change.Insert   // a new row
	Update   = change.Update   // another version of a row, under the same key
	Delete   = change.Delete   // a row went; only its key comes
	Truncate = change.Truncate // all rows went; no row comes
	Upsert   = change.Upsert   // insert the row, or replace the one with its key
	Discard  = change.Discard  // delete the row with that key, if there is one
)

// The states of a shape.
const (
	StateCreating = control.StateCreating // its snapshot is being read; it can be subscribed to already
	StateLive     = control.StateLive     // it follows its table
	StateEnded    = control.StateEnded    // it will not change any more; create it again for a new incarnation
	StateDeleting = control.StateDeleting // it was asked to go
)

// ParseOffset reads an offset's text form, such as "26800584_4".
func ParseOffset(s string) (Offset, error) { return change.ParseOffset(s) }

// ParseLSN reads an LSN as Postgres writes it, such as "16/B374D848".
func ParseLSN(s string) (LSN, error) { return change.ParseLSN(s) }
