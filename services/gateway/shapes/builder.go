package shapes

import (
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// maxXIDs bounds the transaction ids that an up-to-date message names.
const maxXIDs = 1000

// builder makes messages of a shape's events. The last message stays open until it is known whether more of its
// transaction comes.
type builder struct {
	encoder  *protocol.Encoder
	messages []byte
	ends     []int           // of finished messages
	places   []change.Offset // of all messages
	xids     []change.XID    // of transactions without a message of their own

	trace string // context of the trace of the transaction that is open; "" for none

	open bool
	mark struct{ messages, ends, places, xids int } // where the transaction that is open began
}

// operation is how the protocol calls what a change does.
func operation(k client.Kind) string {
	switch k {
	case client.Update:
		return "update"
	case client.Delete, client.Discard:
		return "delete"
	default:
		return "insert"
	}
}

// begin notes where a transaction begins, for abort.
func (b *builder) begin(e client.Begin) {
	b.mark.messages, b.mark.ends, b.mark.places, b.mark.xids = len(b.messages), len(b.ends), len(b.places), len(b.xids)
	b.trace = e.Trace
	b.name(e.XID)
}

// abort takes back what came since begin.
func (b *builder) abort() {
	b.messages, b.ends = b.messages[:b.mark.messages], b.ends[:b.mark.ends]
	b.places, b.xids = b.places[:b.mark.places], b.xids[:b.mark.xids]
	b.open = len(b.places) > len(b.ends)
}

// add appends a change.
func (b *builder) add(c client.Change) {
	b.close(len(b.places) > 0 && b.places[len(b.places)-1].LSN != c.Offset.LSN)
	if len(b.messages) > 0 {
		b.messages = append(b.messages, ',')
	}
	b.messages = b.encoder.Change(b.messages, operation(c.Kind), c.Row, protocol.Place{Offset: c.Offset, XID: c.XID, Trace: b.trace})
	b.places = append(b.places, c.Offset)
	b.open = true
	b.unname(c.XID)
}

// close finishes the message that is open.
func (b *builder) close(last bool) {
	if !b.open {
		return
	}
	b.messages = protocol.Finish(b.messages, last)
	b.ends = append(b.ends, len(b.messages))
	b.open = false
}

// name notes a transaction that clients may wait for.
func (b *builder) name(x change.XID) {
	if x != 0 && len(b.xids) < maxXIDs && !slices.Contains(b.xids[max(0, len(b.xids)-8):], x) {
		b.xids = append(b.xids, x)
	}
}

// unname forgets one that a message names. It is among the last ones, if it is there.
func (b *builder) unname(x change.XID) {
	if n := len(b.xids); n > b.mark.xids && b.xids[n-1] == x {
		b.xids = b.xids[:n-1]
	}
}
