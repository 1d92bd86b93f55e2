package shapes

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// TestALogMayBeginWithPartsOfAMessage: what a fold leaves is a whole message, of which the first part is no message by itself.
func TestALogMayBeginWithPartsOfAMessage(t *testing.T) {
	b := wire.NewLogBuilder()
	b.End("why")
	whole := b.Finish()
	for _, c := range []struct {
		name, part string
		data       []byte
		want       wire.EntryKind
		bad        bool
	}{
		{"a message", "", whole, wire.EntryEnd, false},
		{"a part", "0/3", whole[:1], wire.EntryOps, false},
		{"half a message that says that it is one", "", whole[:1], 0, true},
		{"something that is no part", "3/3", whole, 0, true},
	} {
		h := nats.Header{}
		if c.part != "" {
			h.Set(topology.HeaderPart, c.part)
		}
		_, kind, err := readOrigin(&jetstream.RawStreamMsg{Header: h, Data: c.data})
		if (err != nil) != c.bad || err == nil && kind != c.want {
			t.Errorf("%s: kind %d, %v", c.name, kind, err)
		}
	}
}
