package stream

import (
	"bytes"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/topology"
)

// MaxPart is the largest message that an Appender sends, headers counted: what
// is larger travels in parts, also where the server takes more. Readers ask for
// messages in bounded portions, and what they hold is a multiple of the largest one.
const MaxPart = 1 << 20

const (
	// headerRoom is what a message's headers may take of the server's maximum
	// payload, which counts them.
	headerRoom = 2 << 10
	// leastPayload is the least maximum payload with which it makes sense to send anything.
	leastPayload = 2 * headerRoom
)

// partLimit is how many bytes of data go into one message, where the server
// takes so many.
func partLimit(maxPayload int64) (int, error) {
	if maxPayload < leastPayload {
		return 0, fmt.Errorf("the server's max_payload is %d bytes; set it to at least %d, better to %d", maxPayload, leastPayload, MaxPart)
	}
	return int(min(maxPayload, MaxPart)) - headerRoom, nil
}

// split cuts a message into parts of at most limit bytes of data.
func split(m Message, limit int) []*nats.Msg {
	if len(m.Data) <= limit {
		return []*nats.Msg{{Subject: m.Subject, Header: clone(m.Header), Data: m.Data}}
	}
	n := partsOf(len(m.Data), limit)
	parts := make([]*nats.Msg, n)
	for i := range n {
		h := m.PartHeader
		if h == nil || i == n-1 {
			h = m.Header
		}
		h = clone(h)
		h.Set(topology.HeaderPart, fmt.Sprintf("%d/%d", i, n))
		parts[i] = &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data[i*limit : min((i+1)*limit, len(m.Data))]}
	}
	return parts
}

// partsOf is the number of parts that split makes of data of a size.
func partsOf(size, limit int) int { return max(1, (size+limit-1)/limit) }

// Part tells which part of how many a message is; a whole one is 0 of 1.
func Part(h nats.Header) (index, count int, err error) {
	s := h.Get(topology.HeaderPart)
	if s == "" {
		return 0, 1, nil
	}
	if _, err := fmt.Sscanf(s, "%d/%d", &index, &count); err != nil || index < 0 || index >= count {
		return 0, 0, fmt.Errorf("header %s: %q is not <index>/<count>", topology.HeaderPart, s)
	}
	return index, count, nil
}

// growMost is the room that is made for the parts of a message before they come.
const growMost = 64 << 20

// Assembler puts the parts of large messages together again. A set of parts
// that its writer did not live to finish is dropped when the next message
// comes: the writer's successor sends it again. The zero value is ready.
type Assembler struct {
	subject string
	parts   bytes.Buffer
	next    int
	count   int
}

// Add takes the next message as it is stored. It returns the whole message's
// data once that is there: data itself when it is whole, else the parts put
// together, valid until the next Add.
func (a *Assembler) Add(subject string, h nats.Header, data []byte) (whole []byte, ok bool, err error) {
	index, count, err := Part(h)
	if err != nil {
		return nil, false, fmt.Errorf("message on %s: %w", subject, err)
	}
	if count == 1 {
		a.drop()
		return data, true, nil
	}
	if index == 0 {
		a.drop()
		a.subject, a.count = subject, count
		a.parts.Grow(min(count, growMost/max(1, len(data))) * len(data)) // they are equal, but for the last
	} else if subject != a.subject || index != a.next || count != a.count {
		return nil, false, fmt.Errorf("message on %s: part %d of %d without the ones before it", subject, index, count)
	}
	a.parts.Write(data)
	a.next = index + 1
	if a.next < count {
		return nil, false, nil
	}
	whole = a.parts.Bytes()
	a.parts = bytes.Buffer{}
	a.subject, a.next, a.count = "", 0, 0
	return whole, true, nil
}

// Pending reports whether some parts wait for the rest.
func (a *Assembler) Pending() bool { return a.next > 0 }

func (a *Assembler) drop() {
	a.parts = bytes.Buffer{}
	a.subject, a.next, a.count = "", 0, 0
}
