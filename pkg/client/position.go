package client

import (
	"fmt"

	"github.com/shapebus/shapebus/pkg/change"
)

// Position is a place in a shape's log to read from: its beginning (the zero
// Position), or behind an offset. An offset means something only together
// with the handle of the shape it came from.
type Position struct {
	offset change.Offset
	after  bool
}

// Beginning is before the initial snapshot.
func Beginning() Position { return Position{} }

// After is behind everything up to and including offset, as an app keeps it
// from Commit.Offset. The offset of a Change is good too: the rest of its
// transaction then comes between a Begin and a Commit of its own.
func After(offset change.Offset) Position { return Position{offset: offset, after: true} }

// ParsePosition reads the form of String.
func ParsePosition(s string) (Position, error) {
	if s == "beginning" {
		return Position{}, nil
	}
	o, err := change.ParseOffset(s)
	if err != nil {
		return Position{}, fmt.Errorf("position: %w", err)
	}
	return After(o), nil
}

// IsBeginning reports whether p is before the initial snapshot.
func (p Position) IsBeginning() bool { return !p.after }

// Offset is the offset behind which p is, the zero Offset for the beginning.
func (p Position) Offset() change.Offset { return p.offset }

// String returns "beginning" or the offset's text form.
func (p Position) String() string {
	if !p.after {
		return "beginning"
	}
	return p.offset.String()
}
