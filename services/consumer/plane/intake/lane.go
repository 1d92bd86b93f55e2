package intake

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// Requests come faster than they can be worked on if somebody wants that. Each kind has a queue of its own, so that one
// keeps no other from its turn; what does not fit is refused at once, and what has waited for longer than anybody
// waits for its answer is not worked on.

const (
	// maxWaiting bounds the requests of a kind that wait.
	maxWaiting = 4096
	// maxWaitingBytes bounds what all that wait take.
	maxWaitingBytes = 32 << 20
	// maxRequest bounds a request's size in bytes: a where clause and its parameters, with room.
	maxRequest = 256 << 10
)

// Timeout bounds the time from a request's arrival to its answer.
const Timeout = 20 * time.Second

// Request is one that waits for its turn.
type Request struct {
	Msg         *nats.Msg
	To          *Endpoint
	Came, Until time.Time
}

// size is what a request takes while it waits, in bytes.
func (r *Request) size() int64 { return int64(r.Msg.Size()) }

// Lane is where requests of a kind wait.
type Lane struct {
	waiting chan *Request
	bytes   *atomic.Int64 // of all lanes
}

// NewLane is a lane in which nobody waits. bytes are what the requests of all lanes take that share it.
func NewLane(bytes *atomic.Int64) *Lane {
	return &Lane{waiting: make(chan *Request, maxWaiting), bytes: bytes}
}

// Admit takes a request in, or says why not.
func (l *Lane) Admit(r *Request) error {
	if n := r.Msg.Size(); n > maxRequest {
		return refuse.BadRequest("the request has %d bytes with its headers, more than the %d allowed", n, maxRequest)
	}
	r.Msg.Header = nil // nobody reads it, and it takes more room than it has bytes
	n := r.size()
	if l.bytes.Add(n) <= maxWaitingBytes {
		select {
		case l.waiting <- r:
			return nil
		default:
		}
	}
	l.bytes.Add(-n)
	return refuse.With(control.CodeUnavailable, "too many requests for %s are waiting; try again in a moment", r.To.Name)
}

// Next waits for a request; nil when ctx ends.
func (l *Lane) Next(ctx context.Context) *Request {
	select {
	case r := <-l.waiting:
		l.bytes.Add(-r.size())
		return r
	case <-ctx.Done():
		return nil
	}
}

// Rest are the requests that wait now.
func (l *Lane) Rest() (all []*Request) {
	for range cap(l.waiting) {
		select {
		case r := <-l.waiting:
			l.bytes.Add(-r.size())
			all = append(all, r)
		default:
			return all
		}
	}
	return all
}

// ErrStopped is the refusal of a request that waits when the process stops.
var ErrStopped = refuse.With(control.CodeUnavailable, "this consumer stops; ask again, and another one answers")

// Late is the refusal of a request whose time is over, nil if it is not.
func (r *Request) Late(now time.Time) error {
	if now.Before(r.Until) {
		return nil
	}
	return refuse.With(control.CodeUnavailable, "the request waited for %s, as there are many; try again", Timeout)
}
