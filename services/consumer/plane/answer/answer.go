// Package answer makes answers fit into a message: what is too large is cut, left out or told on the next page, and only what
// cannot be is refused.
package answer

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// around is what of a message is left for what surrounds an answer.
const around = 1 << 10

// Room is how large an answer may be where messages have at most so many bytes.
func Room(maxPayload int64) int { return int(maxPayload) - around }

// Encode is JSON without the escapes for HTML, which make six bytes of one.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// EncodeWithin is Encode for a whole answer, which must fit into the room that there is.
func EncodeWithin(v any, room int) ([]byte, error) {
	data, err := Encode(v)
	if err == nil && len(data) > room {
		return nil, refuse.With(control.CodeTooLarge, "the answer has %d bytes, and the NATS server takes %d in one message; ask for fewer columns or a shorter clause, or raise the server's max_payload", len(data), room)
	}
	return data, err
}

// Page is a control.ListResponse of shapes that are encoded already.
type Page struct {
	Shapes []json.RawMessage `json:"shapes"`
	More   bool              `json:"more"`

	size, room int
}

// NewPage is an empty page of so many bytes at most.
func NewPage(room int) *Page {
	const empty = len(`{"shapes":[],"more":false}`)
	return &Page{Shapes: []json.RawMessage{}, size: empty, room: room}
}

// Add adds a shape; false if the page is full. A shape that does not fit into a page of its own is
// named only.
func (g *Page) Add(s *control.Shape) (bool, error) {
	data, err := Encode(s)
	if err != nil {
		return false, err
	}
	if g.size+len(data)+1 > g.room && len(g.Shapes) > 0 {
		return false, nil
	}
	if g.size+len(data)+1 > g.room {
		if data, err = Encode(BriefShape(s, len(data))); err != nil {
			return false, err
		}
	}
	g.Shapes, g.size = append(g.Shapes, data), g.size+len(data)+1
	return true, nil
}

// BriefShape is what fits of a shape into any message.
func BriefShape(s *control.Shape, size int) control.Shape {
	out := *s
	out.Columns, out.Where, out.Params, out.Subqueries, out.Reason = []control.Column{}, "", nil, nil, refuse.Cut(out.Reason)
	out.Omitted = fmt.Sprintf("its columns, clause, parameters and subqueries: with them it has %d bytes, more than the NATS server takes in one message (max_payload)", size)
	return out
}
