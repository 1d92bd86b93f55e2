package logread

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Whatever is lost on the way, what the queue gives follows without a gap on
// what was asked for, and it holds no more than it may.
func TestLiveQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 50
		q := newLiveQueue(limit)
		var stored []uint64 // sequences of the log's messages, sparse in the stream
		var fed uint64
		seq := uint64(0)
		size := map[uint64]int64{} // of the log up to a message
		at := func() place { return place{fed: fed, bytes: size[fed], sized: true} }
		next := func() (uint64, bool) { // the message behind fed
			for _, s := range stored {
				if s > fed {
					return s, true
				}
			}
			return 0, false
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			default:
				previous := seq // all of the log's messages are stored, told or not
				seq += rapid.Uint64Range(1, 3).Draw(t, "distance")
				stored = append(stored, seq)
				m := nats.NewMsg("live")
				m.Data = make([]byte, rapid.IntRange(0, 30).Draw(t, "size"))
				size[seq] = size[previous] + int64(len(m.Data))
				if rapid.IntRange(0, 3).Draw(t, "lost") == 0 {
					break
				}
				m.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(seq, 10))
				m.Header.Set(jetstream.LastSequenceHeader, strconv.FormatUint(previous, 10))
				m.Header.Set(topology.HeaderTail, fmt.Sprintf("1_0 1_0 live 0 0 %d", size[seq]))
				if rapid.IntRange(0, 9).Draw(t, "false") == 0 { // and before it something that is none of the log's
					f := nats.NewMsg("live")
					f.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(rapid.Uint64().Draw(t, "its sequence"), 10))
					f.Header.Set(jetstream.LastSequenceHeader, strconv.FormatUint(rapid.Uint64Range(0, seq).Draw(t, "its previous"), 10))
					f.Header.Set(topology.HeaderTail, fmt.Sprintf("1_0 9_0 live 0 0 %d", 1000+size[seq]))
					q.push(f)
				}
				q.push(m)
				if rapid.IntRange(0, 9).Draw(t, "twice") == 0 {
					q.push(m)
				}
				h, told, _ := q.head(at())
				if told.seq != seq {
					t.Fatalf("newest is %d, want %d", told.seq, seq)
				}
				if h.seq > 0 && (size[h.seq] != h.tail.Bytes || h.seq > seq) {
					t.Fatalf("believes %v", h)
				}
			case 0, 1:
				if m, ok := q.take(at()); ok {
					if want, _ := next(); m.seq != want {
						t.Fatalf("behind %d came %d, want %d", fed, m.seq, want)
					}
					fed = m.seq
				}
			case 2: // the reader fetched it
				if s, ok := next(); ok {
					fed = s
				}
			}
			if q.bytes > limit {
				t.Fatalf("holds %d bytes", q.bytes)
			}
		}
	})
}
