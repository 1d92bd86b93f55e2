package plane

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/control"
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

// request is one that waits for its turn.
type request struct {
	msg         *nats.Msg
	to          *endpoint
	came, until time.Time
}

// lane is where requests of a kind wait.
type lane struct {
	waiting chan *request
	bytes   *atomic.Int64 // of all lanes
}

func newLane(bytes *atomic.Int64) *lane {
	return &lane{waiting: make(chan *request, maxWaiting), bytes: bytes}
}

// admit takes a request in, or says why not.
func (l *lane) admit(r *request) error {
	n := int64(len(r.msg.Data))
	if n > maxRequest {
		return badRequest("the request has %d bytes, more than the %d allowed", n, maxRequest)
	}
	if l.bytes.Add(n) <= maxWaitingBytes {
		select {
		case l.waiting <- r:
			return nil
		default:
		}
	}
	l.bytes.Add(-n)
	return &requestError{control.CodeUnavailable, fmt.Sprintf("too many requests for %s are waiting; try again in a moment", r.to.name)}
}

// next waits for a request; nil when ctx ends.
func (l *lane) next(ctx context.Context) *request {
	select {
	case r := <-l.waiting:
		l.bytes.Add(-int64(len(r.msg.Data)))
		return r
	case <-ctx.Done():
		return nil
	}
}

// rest are the requests that wait now.
func (l *lane) rest() (all []*request) {
	for range cap(l.waiting) {
		select {
		case r := <-l.waiting:
			l.bytes.Add(-int64(len(r.msg.Data)))
			all = append(all, r)
		default:
			return all
		}
	}
	return all
}

// stopped is the refusal of a request that waits when the process stops.
var stopped = &requestError{control.CodeUnavailable, "this consumer stops; ask again, and another one answers"}

// late is the refusal of a request whose time is over, nil if it is not.
func (r *request) late(now time.Time) error {
	if now.Before(r.until) {
		return nil
	}
	return &requestError{control.CodeUnavailable, fmt.Sprintf("the request waited for %s, as there are many; try again", requestTimeout)}
}
