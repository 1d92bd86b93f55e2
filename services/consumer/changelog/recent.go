package changelog

import (
	"slices"
	"sort"
	"sync"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
)

// Recent is the end of the change log as far as the main loop has read it: the last messages, so
// that whoever has caught up to within them can go on from memory, and how far that is, for those
// who wait for the main loop to come to where they are. Safe for concurrent use.
type Recent struct {
	limit int // of the messages' bytes

	mu       sync.Mutex
	messages []stream.Received
	bytes    int
	seq      uint64     // of the last message that the main loop has done with
	whole    change.LSN // everything up to here has been read whole
	arrivals []arrival
}

// NewRecent keeps messages of limit bytes together, and at least one.
func NewRecent(limit int) *Recent { return &Recent{limit: limit} }

// arrival is closed when the main loop has read a message and applied all up to an LSN.
type arrival struct {
	seq uint64
	lsn change.LSN
	ch  chan struct{}
}

// Add takes the next message.
func (r *Recent) Add(m stream.Received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
	r.bytes += len(m.Data)
	drop := 0
	for r.bytes > r.limit && drop < len(r.messages)-1 {
		r.bytes -= len(r.messages[drop].Data)
		drop++
	}
	if drop > 0 {
		clear(r.messages[:drop])
		r.messages = r.messages[drop:]
	}
}

// Arrive is told that the main loop has done with a message, and up to where everything is whole.
func (r *Recent) Arrive(seq uint64, whole change.LSN) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq, r.whole = seq, whole
	r.arrivals = slices.DeleteFunc(r.arrivals, func(a arrival) bool {
		if !r.has(a.seq, a.lsn) {
			return false
		}
		close(a.ch)
		return true
	})
}

// Clear forgets the messages: what comes next does not follow.
func (r *Recent) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages, r.bytes = nil, 0
}

// From appends the messages from sequence next on, up to the newest: none when
// the caller is as far as the main loop, or further. ok is false when the
// first of them are no longer held.
func (r *Recent) From(next uint64, to []stream.Received) (messages []stream.Received, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.find(next)
	if !ok {
		return to, false
	}
	return append(to, r.messages[i:]...), true
}

// Holds reports whether from would give what follows.
func (r *Recent) Holds(next uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.find(next)
	return ok
}

// find is the index of the message with which from begins. Called with mu held.
func (r *Recent) find(next uint64) (i int, ok bool) {
	i = sort.Search(len(r.messages), func(i int) bool { return r.messages[i].First >= next })
	return i, i > 0 || i == len(r.messages) || r.messages[i].First == next
}

// Wait returns what is closed when the main loop has read a message and all up to an LSN; nil if it has.
func (r *Recent) Wait(seq uint64, lsn change.LSN) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.has(seq, lsn) {
		return nil
	}
	a := arrival{seq, lsn, make(chan struct{})}
	r.arrivals = append(r.arrivals, a)
	return a.ch
}

func (r *Recent) has(seq uint64, lsn change.LSN) bool { return seq <= r.seq && lsn <= r.whole }
