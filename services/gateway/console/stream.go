package console

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// stream is an open answer of server-sent events.
type stream struct {
	w        http.ResponseWriter
	ctx      context.Context //nolint:containedctx // of the request that it answers
	console  *Console
	until    *time.Timer // of the session's check
	beat     *time.Ticker
	r        *http.Request
	finished bool
}

// Sessions end, and so do streams: a page opens another one, with the session that it has then.
const (
	streamLength = 10 * time.Minute
	streamBeat   = 15 * time.Second
)

// open begins a stream, if there is room for one more.
func (c *Console) open(w http.ResponseWriter, r *http.Request) (*stream, bool) {
	select {
	case c.streams <- struct{}{}:
	default:
		fail(w, http.StatusServiceUnavailable, "Too many pages of the console are open.")
		return nil, false
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	s := &stream{w: w, ctx: r.Context(), console: c, until: time.NewTimer(streamLength), beat: time.NewTicker(streamBeat), r: r}
	s.write([]byte(": hello\n\n"))
	return s, true
}

func (s *stream) close() {
	s.until.Stop()
	s.beat.Stop()
	<-s.console.streams
}

// wait waits for news; false when the stream is to end. Between, it sees whether somebody still
// listens.
func (s *stream) wait(news <-chan struct{}) bool {
	for !s.finished {
		select {
		case <-news:
			return true
		case <-s.beat.C:
			s.write([]byte(": still here\n\n"))
		case <-s.until.C:
			return false
		case <-s.ctx.Done():
			return false
		case <-s.console.stopping:
			return false
		}
	}
	return false
}

// send sends an event; false if nobody takes it.
func (s *stream) send(name string, v any) bool {
	data, err := json.Marshal(v) // has no line feeds
	if err != nil {
		return false
	}
	return s.write([]byte("event: "+name+"\ndata: "), data, []byte("\n\n"))
}

func (s *stream) write(parts ...[]byte) bool {
	rc := http.NewResponseController(s.w)
	_ = rc.SetWriteDeadline(time.Now().Add(writeWithin)) // the client that takes nothing is dropped
	for _, part := range parts {
		if _, err := s.w.Write(part); err != nil {
			s.finished = true
			return false
		}
	}
	s.finished = rc.Flush() != nil
	_ = rc.SetWriteDeadline(time.Time{}) // with HTTP/2 it would end the stream also while nothing is written
	return !s.finished
}
