package plane

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/shapebus/shapebus/pkg/control"
)

// answerRoom is what of a message is left for what surrounds an answer.
const answerRoom = 1 << 10

// room is how large an answer may be.
func (p *server) room() int { return int(p.cfg.NATS.MaxPayload()) - answerRoom }

// encode is JSON without the escapes for HTML, which make six bytes of one.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// encodeAnswer is encode for a whole answer.
func (p *server) encodeAnswer(v any) ([]byte, error) {
	data, err := encode(v)
	if err == nil && len(data) > p.room() {
		return nil, tooLarge("the answer", len(data), p.room())
	}
	return data, err
}

func tooLarge(what string, size, room int) *requestError {
	return &requestError{control.CodeTooLarge, fmt.Sprintf("%s has %d bytes, and the NATS server takes %d in one message; ask for fewer columns or a shorter clause, or raise the server's max_payload", what, size, room)}
}

// page is a control.ListResponse of shapes that are encoded already.
type page struct {
	Shapes []json.RawMessage `json:"shapes"`
	More   bool              `json:"more"`

	size, room int
}

func newPage(room int) *page {
	const around = len(`{"shapes":[],"more":false}`)
	return &page{Shapes: []json.RawMessage{}, size: around, room: room}
}

// add adds a shape; false if the page is full. A shape that does not fit into a page of its own is
// named only.
func (g *page) add(s *control.Shape) (bool, error) {
	data, err := encode(s)
	if err != nil {
		return false, err
	}
	if g.size+len(data)+1 > g.room && len(g.Shapes) > 0 {
		return false, nil
	}
	if g.size+len(data)+1 > g.room {
		if data, err = encode(brieflyOf(s, len(data))); err != nil {
			return false, err
		}
	}
	g.Shapes, g.size = append(g.Shapes, data), g.size+len(data)+1
	return true, nil
}

// brieflyOf is what fits of a shape into any message.
func brieflyOf(s *control.Shape, size int) control.Shape {
	out := *s
	out.Columns, out.Where, out.Params, out.Subqueries, out.Reason = []control.Column{}, "", nil, nil, cut(out.Reason)
	out.Omitted = fmt.Sprintf("its columns, clause, parameters and subqueries: with them it has %d bytes, more than the NATS server takes in one message (max_payload)", size)
	return out
}
