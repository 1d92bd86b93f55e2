package client

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// raw is a stored message of a log, or a part of one.
type raw struct {
	seq    uint64
	header nats.Header
	data   []byte
}

// head is the newest message of a log that is known of.
type head struct {
	seq  uint64
	tail wire.Tail
}

// liveQueue holds what the server republished and the reader has not taken
// yet: a run of messages without a gap in it, in bounded memory. When a gap
// shows or the bound is reached it forgets the run and starts another; the
// reader fetches what it misses from the log. The messages of a transaction
// that is not committed yet wait here, as long as they fit.
//
// push is called by the connection's goroutine for the subscription, the rest
// by the reader.
type liveQueue struct {
	limit int
	wake  chan struct{} // holds a token when there may be something new

	mu     sync.Mutex // guards what follows
	run    []liveMessage
	bytes  int
	newest head
}

type liveMessage struct {
	raw

	previous uint64 // sequence of the message before it on the log's subject
}

func newLiveQueue(limit int) *liveQueue {
	return &liveQueue{limit: limit, wake: make(chan struct{}, 1)}
}

// push takes a republished message. One that cannot be read is left to the
// reader to find in the log.
func (q *liveQueue) push(msg *nats.Msg) {
	m, tail, err := readLive(msg)
	if err != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.noteLocked(head{seq: m.seq, tail: tail})
	if n := len(q.run); n > 0 {
		last := q.run[n-1].seq
		if m.seq <= last {
			return
		}
		if m.previous != last || q.bytes+len(m.data) > q.limit {
			q.forgetLocked()
		}
	}
	q.run = append(q.run, m)
	q.bytes += len(m.data)
}

func (q *liveQueue) forgetLocked() {
	q.run, q.bytes = nil, 0
}

// note takes news of the log's newest message from another source.
func (q *liveQueue) note(h head) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.noteLocked(h)
}

func (q *liveQueue) noteLocked(h head) {
	if h.seq <= q.newest.seq {
		return
	}
	q.newest = h
	select {
	case q.wake <- struct{}{}:
	default: // a token is there already
	}
}

// head returns the newest message known of, sequence 0 if none is.
func (q *liveQueue) head() head {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.newest
}

// take removes and returns the message that follows the one at sequence after,
// if it is here.
func (q *liveQueue) take(after uint64) (raw, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.run) > 0 {
		m := q.run[0]
		if m.seq > after && m.previous > after {
			return raw{}, false // a gap between after and the run
		}
		q.run[0] = liveMessage{}
		q.run = q.run[1:]
		q.bytes -= len(m.data)
		if m.seq > after {
			return m.raw, true
		}
	}
	return raw{}, false
}

// readLive reads the headers that the server puts on a republished message.
func readLive(msg *nats.Msg) (liveMessage, wire.Tail, error) {
	seq, err := number(msg.Header, jetstream.SequenceHeader)
	if err != nil {
		return liveMessage{}, wire.Tail{}, err
	}
	previous, err := number(msg.Header, jetstream.LastSequenceHeader)
	if err != nil {
		return liveMessage{}, wire.Tail{}, err
	}
	tail, err := readTail(msg.Header)
	return liveMessage{raw: raw{seq: seq, header: msg.Header, data: msg.Data}, previous: previous}, tail, err
}

func number(h nats.Header, key string) (uint64, error) {
	n, err := strconv.ParseUint(h.Get(key), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("header %s: %w", key, err)
	}
	return n, nil
}

func readTail(h nats.Header) (wire.Tail, error) {
	t, err := wire.ParseTail(h.Get(topology.HeaderTail))
	if err != nil {
		return wire.Tail{}, fmt.Errorf("header %s: %w", topology.HeaderTail, err)
	}
	return t, nil
}
