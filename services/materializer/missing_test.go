package materializer

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// TestALogThatIsBeingRemovedIsNotReadOn: the oldest messages go first, when a shape has ended and when its log was folded. What is left of them is
// no reason for a verdict, which would lack those of what is gone.
func TestALogThatIsBeingRemovedIsNotReadOn(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	_, js := natstest.Conn(t)
	s := &session{js: js, source: "missing"}
	if err := s.source.EnsureShapeLogs(t.Context(), js, 1, topology.ShapeLogConfig{}); err != nil {
		t.Fatal(err)
	}
	at := func(lsn change.LSN) change.Offset { return change.Offset{LSN: lsn, Op: 2} }
	store := func(subject string, tail wire.Tail, part string, data []byte) {
		t.Helper()
		m := &nats.Msg{Subject: subject, Header: stream.Header(topology.HeaderTail, tail.String()), Data: data}
		if part != "" {
			m.Header.Set(topology.HeaderPart, part)
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct {
		name             string
		read             change.LSN // by the set
		ended            bool
		generation       uint64 // where it stands; 0: none
		first            string // which part the log's first message is
		missing, stillOn bool
	}{
		{"a log that goes on, of which the message before does not count right", 10, false, 0, "", false, false},
		{"one that has ended", 10, true, 0, "", true, false},
		{"one that was folded before that", 10, false, 8, "", false, false},
		{"one that was folded beyond that", 10, false, 16, "", true, false},
		{"one whose first message is behind what was read", 20, false, 16, "", false, true},
		{"one whose first message has lost parts", 20, false, 16, "1/2", false, false},
	} {
		handle := string(rune('a'+i)) + "-1"
		log := s.source.LogSubject(0, handle)
		if c.generation > 0 {
			data, err := wire.EncodeGeneration(&wire.Generation{Number: 1, LSN: c.generation, Op: 2, Snapshot: "1:1:"})
			if err != nil {
				t.Fatal(err)
			}
			store(s.source.GenerationSubject(0, handle), wire.Tail{}, "", data)
		}
		b := wire.NewLogBuilder()
		b.End("why") // any entry but a snapshot's
		store(log, wire.Tail{Began: true, Ended: c.ended, Last: at(20), Committed: at(20), Bytes: 100}, c.first, b.Finish())
		f := &set{Subquery: registry.Subquery{Handle: handle}, handle: handle, replica: &replica{done: at(c.read)}}
		err := s.missing(t.Context(), log, f)
		if (err != nil) != c.missing || errors.Is(err, errEnded) != c.ended {
			t.Errorf("%s: something is missing: %v", c.name, err)
		}
		if err := s.stillGoesOn(t.Context(), log, at(c.read)); (err == nil) != c.stillOn || err != nil && !errors.Is(err, errCut) {
			t.Errorf("%s: it goes on behind what was read: %v", c.name, err)
		}
	}
}
