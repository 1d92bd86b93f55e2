package event

import (
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/pkg/change"
)

// Position is a place in a shape: behind Offset in the log of Handle. It is what an app keeps, as
// a value or as text, and gives to Subscribe to go on. Both halves belong together: an
// offset says nothing without the handle it came from, so another incarnation of a shape refuses it with
// a [MustRefetchError].
//
// The zero Position is the beginning of any shape, before its snapshot. A Position with a handle
// and the zero Offset is behind the snapshot.
type Position struct {
	Handle string
	Offset change.Offset
}

// beginning is the text form of the zero Position.
const beginning = "beginning"

// Beginning is the zero Position: before the snapshot.
func Beginning() Position { return Position{} }

// ParsePosition reads the form of String.
func ParsePosition(s string) (Position, error) {
	if s == beginning {
		return Position{}, nil
	}
	handle, offset, ok := strings.Cut(s, "@")
	if !ok || !isHandle(handle) {
		return Position{}, fmt.Errorf("position %q: want <handle>@<offset>, or %s", s, beginning)
	}
	o, err := change.ParseOffset(offset)
	if err != nil {
		return Position{}, fmt.Errorf("position %q: %w", s, err)
	}
	return Position{Handle: handle, Offset: o}, nil
}

// isHandle reports whether s can be a handle: letters, digits, - and _.
func isHandle(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// IsBeginning reports whether p is before the snapshot.
func (p Position) IsBeginning() bool { return p == Position{} }

// String returns "<handle>@<offset>", such as "537a3e845a2479ab-hoe9dyycgv@26800584_4", or
// "beginning".
func (p Position) String() string {
	if p.IsBeginning() {
		return beginning
	}
	return p.Handle + "@" + p.Offset.String()
}

// MarshalText returns the form of String, for JSON and the like.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the form of String.
func (p *Position) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePosition(string(b))
	return err
}
