package client

import (
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
				if rapid.IntRange(0, 3).Draw(t, "lost") == 0 {
					break
				}
				size := rapid.IntRange(0, 30).Draw(t, "size")
				m := nats.NewMsg("live")
				m.Data = make([]byte, size)
				m.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(seq, 10))
				m.Header.Set(jetstream.LastSequenceHeader, strconv.FormatUint(previous, 10))
				m.Header.Set(topology.HeaderTail, "1_0 1_0 live 0 0 0")
				q.push(m)
				if rapid.IntRange(0, 9).Draw(t, "twice") == 0 {
					q.push(m)
				}
				if q.head().seq != seq {
					t.Fatalf("newest is %d, want %d", q.head().seq, seq)
				}
			case 0, 1:
				if m, ok := q.take(fed); ok {
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
