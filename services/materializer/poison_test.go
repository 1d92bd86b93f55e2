package materializer_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// What cannot be read of one inner shape holds up the sets of no other one in its partition.
func TestAPoisonedInnerShapeDelaysNobodyElse(t *testing.T) {
	for name, poison := range map[string]func(handle string) stream.Message{
		"a generation": func(handle string) stream.Message {
			return stream.Message{Subject: source.GenerationSubject(0, handle), Data: []byte("\xc1 nonsense")}
		},
		"the tail of a log": func(handle string) stream.Message {
			return stream.Message{Subject: source.LogSubject(0, handle), Header: nats.Header{topology.HeaderTail: {"nonsense"}}, Data: []byte("x")}
		},
		"the parts of a log": func(handle string) stream.Message {
			return stream.Message{Subject: source.LogSubject(0, handle), Header: nats.Header{topology.HeaderPart: {"nonsense"}}, Data: []byte("x")}
		},
		"an entry of a log": func(handle string) stream.Message {
			return stream.Message{Subject: source.LogSubject(0, handle), Header: nats.Header{topology.HeaderTail: {"1_0 1_0 live 0 0 1"}}, Data: []byte("\xc1")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 1)
			bad, good := l.inner("bad", 0), l.inner("good", 0)
			bad.begin(10, "1 x")
			good.begin(10, "1 x")
			bad.outer("ob", false, 0)
			set := good.outer("og", false, 0)
			l.run("one", nil).live(2)
			l.append(0, poison(bad.handle))
			for i := range 5 {
				good.at(change.LSN(100 + 10*i)).op("+" + string(rune('2'+i)) + " y").commit().send()
				l.until("the verdict of the other is there", func() bool { return len(l.verdicts(0, set)) == i+1 })
			}
		})
	}
}
