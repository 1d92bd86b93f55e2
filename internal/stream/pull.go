package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Why not nats.go's own pulling: it is bounded by bytes or by messages. Bounded
// by bytes it allocates a channel for a million messages, 8 MB for each reader.
// Bounded by both, it does not notice when a request ends exactly with its last
// byte, which the server does not announce, and waits for heartbeats that do not
// come. In both ways it asks again and again, without a pause, when the next
// message is larger than what it asks for.

const (
	// pullMessages bounds the messages that come with one request, and so does bytesPerMessage, which is how much
	// of the window there has to be for each. It is about memory: a small message takes several times its size.
	pullMessages    = 4096
	bytesPerMessage = 256
	leastMessages   = 64
	// pullHeartbeat is how often the server says that a request still stands.
	pullHeartbeat = 5 * time.Second
	// doubtHeartbeat is that after the connection was lost: the first one tells what was lost with it.
	doubtHeartbeat = 250 * time.Millisecond
	// pullExpiry is how long a request stands by default.
	pullExpiry = 30 * time.Second
)

// headerLastConsumer is, in a heartbeat, how many messages the consumer has delivered.
const headerLastConsumer = "Nats-Last-Consumer"

// errNoConsumer ends a puller.
var errNoConsumer = errors.New("the server does not have the consumer any more")

// errRefused ends a puller whose request the server does not take.
var errRefused = errors.New("the server refuses to deliver")

// puller asks a consumer on the server for messages and keeps what has come
// until it is taken. One request stands at a time, for at most a number of
// messages and at most window bytes. The next one follows when it has ended and less
// than half of that is left to take. A message larger than the window is asked for by itself.
//
// take is for one goroutine; arrive is called by the connection's.
type puller struct {
	nc      *nats.Conn
	subject string // where requests go
	window  int
	most    int // messages in a request
	expiry  time.Duration
	beat    time.Duration
	sub     *nats.Subscription
	back    chan nats.Status // the connection is there again, or closed for good
	wake    chan struct{}    // holds a token when there may be something to take

	mu     sync.Mutex // guards what follows
	queue  []*nats.Msg
	bytes  int // in queue
	asked  request
	barren bool // the last request ended without a message: the next one does not fit
	err    error
	heard  time.Time // when something came, or was asked for
	came   uint64    // messages, since the beginning
	doubt  bool      // what was on its way may be lost: the connection was
}

// request is what the server may still send. It stands while messages is not 0.
type request struct {
	messages, bytes int
	any             bool // one message of any size
	got             int
}

// newPuller begins to pull from a consumer that has delivered nothing so far, at most so many messages at once if most is not 0.
func newPuller(js jetstream.JetStream, streamName, consumer string, window, most int, expiry time.Duration) (*puller, error) {
	p := &puller{
		nc: js.Conn(), subject: fmt.Sprintf("%sCONSUMER.MSG.NEXT.%s.%s", apiPrefix(js.Options()), streamName, consumer),
		window: window, most: min(pullMessages, max(window/bytesPerMessage, leastMessages)), expiry: expiry, beat: min(pullHeartbeat, expiry/2), wake: make(chan struct{}, 1),
	}
	if most > 0 {
		p.most = min(p.most, most)
	}
	p.back = p.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	var err error
	if p.sub, err = p.nc.Subscribe(p.nc.NewInbox(), p.arrive); err == nil {
		err = p.sub.SetPendingLimits(-1, -1) // what comes is bounded by what is asked for
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.askLocked()
	return p, nil
}

// apiPrefix is what the subjects of requests to JetStream begin with.
func apiPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}

// take waits for the next message until ctx ends, or until a time has passed: then there is none, and no error.
func (p *puller) take(ctx context.Context, wait time.Duration) (*nats.Msg, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	late := false
	for {
		m, err := p.next()
		if m != nil || err != nil || late {
			return m, err
		}
		select {
		case <-p.wake:
		case <-p.back:
			if p.nc.IsClosed() {
				return nil, nats.ErrConnectionClosed
			}
			p.askAgain()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timer.C:
			late = true
		}
	}
}

// next takes a message if there is one.
func (p *puller) next() (*nats.Msg, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		m := p.queue[0]
		p.queue[0], p.queue = nil, p.queue[1:]
		p.bytes -= m.Size()
		p.askLocked()
		return m, nil
	}
	p.queue = nil
	p.askLocked()
	if p.err == nil && time.Since(p.heard) > 2*p.beat {
		p.asked = request{} // it was lost on its way, or the server's word of its end
		p.askLocked()
	}
	return nil, p.err
}

// askAgain asks although a request may stand: after the connection was lost the
// server may or may not have it. Two of them do no harm. If the consumer is gone, the answer says so.
func (p *puller) askAgain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked, p.doubt = request{}, true
	p.askLocked()
}

// askLocked asks for more if no request stands and there is room.
func (p *puller) askLocked() {
	if p.err != nil || p.asked.messages > 0 || len(p.queue) > p.most/2 || p.bytes > p.window/2 {
		return
	}
	r := request{messages: p.most, bytes: p.window}
	if p.barren {
		r = request{messages: 1, any: true}
	}
	expiry, beat := p.expiry, p.beat
	if p.doubt { // a short request: thousands of readers may ask at once, and not all need to be told so often
		beat = min(beat, doubtHeartbeat)
		expiry = min(expiry, 4*beat)
	}
	body, err := json.Marshal(map[string]any{
		"batch": r.messages, "max_bytes": r.bytes, "expires": expiry, "idle_heartbeat": beat,
	})
	if err == nil {
		err = p.nc.PublishRequest(p.subject, p.sub.Subject, body)
	}
	if err != nil {
		p.err = err
		return
	}
	p.asked, p.heard = r, time.Now()
}

// arrive takes what the server sends.
func (p *puller) arrive(m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = time.Now()
	if m.Reply == "" {
		p.statusLocked(m.Header)
	} else {
		p.came++
		p.queue = append(p.queue, m)
		p.bytes += m.Size()
		p.barren = false
		p.asked.got++
		p.asked.messages--
		if !p.asked.any {
			p.asked.bytes -= m.Size() // as the server counts
		}
		if p.asked.messages <= 0 || p.asked.bytes <= 0 && !p.asked.any {
			p.asked = request{} // the server does not announce that
			p.askLocked()
		}
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// statusLocked takes the server's word on the request. A heartbeat comes behind what was delivered and says how much that is: what
// has not come then was lost on its way, and will not come again by itself. Where it was the last for now, no message would follow that shows the gap.
func (p *puller) statusLocked(h nats.Header) {
	status, text := h.Get("Status"), strings.ToLower(h.Get("Description"))
	switch {
	case status == "100": // it stands
		if n, err := strconv.ParseUint(h.Get(headerLastConsumer), 10, 64); err == nil {
			if p.doubt = false; n > p.came {
				p.err = errLost
			}
		}
		return
	case strings.Contains(text, "batch completed"): // counted already
		return
	case status == "408", strings.Contains(text, "leadership change"), strings.Contains(text, "server shutdown"):
	case strings.Contains(text, "exceeds maxbytes"):
		p.barren = p.asked.got == 0
	case status == "404", status == "503", strings.Contains(text, "consumer deleted"):
		p.err = errNoConsumer
	default:
		p.err = fmt.Errorf("%w: %s %s", errRefused, status, text)
	}
	p.asked = request{}
	p.askLocked()
}

// stop ends it. What has come and was not taken is forgotten.
func (p *puller) stop() {
	p.nc.RemoveStatusListener(p.back)
	if p.sub != nil {
		_ = p.sub.Unsubscribe() // the connection may be closed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue, p.bytes = nil, 0
	p.err = jetstream.ErrMsgIteratorClosed
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
