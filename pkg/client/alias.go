package client

import (
	"github.com/shapebus/shapebus/pkg/change"
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
	StateEnded    = control.StateEnded    // it will not change any more; create it again for a new life
	StateDeleting = control.StateDeleting // it was asked to go
)

// ParseOffset reads an offset's text form, such as "26800584_4".
func ParseOffset(s string) (Offset, error) { return change.ParseOffset(s) }

// ParseLSN reads an LSN as Postgres writes it, such as "16/B374D848".
func ParseLSN(s string) (LSN, error) { return change.ParseLSN(s) }
