package logread

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// raw is a stored message of a log, or a part of one.
type raw struct {
	seq    uint64
	at     time.Time // when the server stored it
	header nats.Header
	data   []byte
}

// head is a message of a log, as far as it says where the log stands. With the
// time at which it was stored, its sequence tells it from those of another
// stream of the same name.
type head struct {
	seq  uint64
	at   time.Time
	tail wire.Tail
}

// same reports whether two heads are the same stored message.
func (h head) same(o head) bool {
	return h.seq == o.seq && h.tail == o.tail && (h.at.IsZero() || o.at.IsZero() || h.at.Equal(o.at))
}

// place is how far a reader has read a log.
type place struct {
	fed   uint64    // sequence of the last message taken
	at    time.Time // when that was stored
	bytes int64     // of the log up to the end of the last whole message
	sized bool      // bytes is known
}

// liveQueue holds what the server republished and the reader has not taken
// yet: a run of messages without a gap in it, in bounded memory. When a gap
// shows or the bound is reached it forgets the run and starts another; the
// reader fetches what it misses from the log. The messages of a transaction
// that is not committed yet wait here, as long as they fit.
//
// What comes on core NATS is a hint: it counts if it follows, by sequence and by the
// log's size, on what was read from the log. Of anything else the log is asked. Who may publish
// there can make a message that follows; then what comes behind it does not, which shows as
// something that contradicts what was read, or as messages that come and lead nowhere. Either
// way the log is asked, and decides.
//
// push is called by the connection's goroutine for the subscription, the rest
// by the reader.
type liveQueue struct {
	limit int
	wake  chan struct{} // holds a token when there may be something new

	mu    sync.Mutex // guards what follows
	run   []liveMessage
	bytes int
	known head  // the log's newest message, as the log itself said, or as what was taken from here
	told  head  // of the last message that came, whatever it says
	place place // of the reader, when it was last here
	odd   bool  // a message came that cannot be of the log that was read
}

type liveMessage struct {
	raw

	tail     wire.Tail
	previous uint64 // sequence of the message before it on the log's subject
	first    bool   // it is whole, or the first part of one
	part     bool   // other parts follow
	before   int64  // bytes of the log before the message that it is, or is a part of
	sum      int64  // bytes of that message up to its end
}

func newLiveQueue(limit int) *liveQueue {
	return &liveQueue{limit: limit, wake: make(chan struct{}, 1)}
}

// push takes a republished message. One that cannot be read is left to the
// reader to find in the log.
func (q *liveQueue) push(msg *nats.Msg) {
	m, err := readLive(msg)
	if err != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.told = head{seq: m.seq, at: m.at, tail: m.tail}
	q.odd = q.odd || q.place.contradicts(&m)
	select {
	case q.wake <- struct{}{}:
	default: // a token is there already
	}
	if n := len(q.run); n > 0 {
		last := &q.run[n-1]
		if m.seq == last.seq {
			return
		}
		if !m.follows(last) || q.bytes+len(m.data) > q.limit {
			q.forgetLocked()
		}
	}
	if len(q.run) == 0 && !m.first {
		return // what it is a part of has to be read from the log
	}
	q.run = append(q.run, m)
	q.bytes += len(m.data)
}

// contradicts reports whether a message cannot be of the log that was read up
// to a place: it has a place before, and was stored later or says that the log is larger.
func (p place) contradicts(m *liveMessage) bool {
	return m.seq <= p.fed && (!p.at.IsZero() && m.at.After(p.at) || p.sized && m.tail.Bytes > p.bytes)
}

// follows reports whether a message comes next behind another, and completes
// what is known of it.
func (m *liveMessage) follows(last *liveMessage) bool {
	if m.seq < last.seq || m.previous != last.seq {
		return false
	}
	if !m.first {
		m.before, m.sum = last.before, last.sum+int64(len(m.data))
		return last.part && (m.part || m.tail.Bytes == m.before+m.sum)
	}
	end := last.before
	if !last.part { // else its writer died behind that part
		end += last.sum
	}
	return m.before == end
}

func (q *liveQueue) forgetLocked() {
	q.run, q.bytes = nil, 0
}

// note takes from the log what its newest message is.
func (q *liveQueue) note(h head) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.known = h
}

// reset forgets everything, because the log is not the one it was about.
func (q *liveQueue) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forgetLocked()
	q.known, q.told, q.place, q.odd = head{}, head{}, place{}, false
}

// disbelieve forgets what was told and is not so.
func (q *liveQueue) disbelieve(h head) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.told == h {
		q.told = head{}
	}
}

// head returns the newest message that the log is known to hold: by its own
// word, or because it follows on what was read. Sequence 0 if none is. told is
// the last that came, which the log may know nothing of. odd says, once, that
// a message came which cannot be of the log that was read.
func (q *liveQueue) head(p place) (h, told head, odd bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.place = p
	h = q.known
	if q.joinsLocked(p) {
		// The log itself may have said that it goes further, where something was not told.
		if last := &q.run[len(q.run)-1]; last.seq > h.seq {
			h = head{seq: last.seq, at: last.at, tail: last.tail}
		}
	}
	odd, q.odd = q.odd, false
	return h, q.told, odd
}

// joinsLocked reports whether the run, without what was read of it, comes next
// behind a place.
func (q *liveQueue) joinsLocked(p place) bool {
	for len(q.run) > 0 && q.run[0].seq <= p.fed {
		q.odd = q.odd || p.contradicts(&q.run[0])
		q.bytes -= len(q.run[0].data)
		q.run[0] = liveMessage{}
		q.run = q.run[1:]
	}
	if len(q.run) == 0 {
		return false
	}
	m := &q.run[0]
	if m.previous > p.fed {
		return false // a gap, which the log fills
	}
	if m.first && p.sized && m.before != p.bytes || !m.first && m.previous != p.fed {
		q.forgetLocked() // it is not about the log that was read
		return false
	}
	return true
}

// take removes and returns the message that comes next behind a place, if it
// is here.
func (q *liveQueue) take(p place) (raw, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.joinsLocked(p) {
		return raw{}, false
	}
	m := q.run[0]
	q.run[0] = liveMessage{}
	q.run = q.run[1:]
	q.bytes -= len(m.data)
	if m.seq > q.known.seq { // it joined, so the log holds it: who took it need not ask
		q.known = head{seq: m.seq, at: m.at, tail: m.tail}
	}
	return m.raw, true
}

// readLive reads the headers that the server puts on a republished message.
func readLive(msg *nats.Msg) (m liveMessage, err error) {
	m.header, m.data = msg.Header, msg.Data
	if m.seq, err = number(msg.Header, jetstream.SequenceHeader); err != nil {
		return m, err
	}
	if m.previous, err = number(msg.Header, jetstream.LastSequenceHeader); err != nil {
		return m, err
	}
	if m.tail, err = readTail(msg.Header); err != nil {
		return m, err
	}
	index, count, err := stream.Part(msg.Header)
	if err != nil {
		return m, err
	}
	m.at, _ = time.Parse(time.RFC3339Nano, msg.Header.Get(jetstream.TimeStampHeaer)) // older servers do not tell
	m.first, m.part = index == 0, index < count-1
	m.sum = int64(len(m.data))
	if m.before = m.tail.Bytes; !m.part { // a part that is not the last has the tail from before the message
		m.before -= m.sum
	}
	return m, nil
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
