package gateway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/shapebus/shapebus/services/gateway/shapes"
)

// stream answers with server-sent events: first what there is, then what comes, until the stream's time is over, the shape ends, or
// the client goes. What has begun cannot become an error any more: the stream ends, and the client is told when it comes again.
func (a *answer) stream(ctx context.Context, body *shapes.Body) error {
	h := a.w.Header()
	a.headers(a.req.Offset)
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", fmt.Sprintf("%s, max-age=%d", a.g.whose(), seconds(a.g.cfg.Stream-time.Second)))
	h.Set("Electric-Has-Data", "true")
	h.Set("X-Accel-Buffering", "no") // a proxy must pass on each event as it comes
	if a.r.ProtoMajor == 1 {
		h.Set("Connection", "keep-alive")
	}
	a.g.hurry(a.w)
	a.w.WriteHeader(http.StatusOK)
	a.g.count.streams.Add(1)
	defer a.g.count.streams.Add(-1)
	control := http.NewResponseController(a.w)
	if a.r.Method == http.MethodHead || control.Flush() != nil {
		a.letGo(body)
		return nil
	}
	a.rest()
	a.follow(ctx, control, body)
	a.g.hurry(a.w) // the end is still to be written
	return nil
}

func (a *answer) letGo(body *shapes.Body) {
	if body != nil {
		a.shape.LetGo(body)
	}
}

// follow sends a body, if there is one, and then what comes behind it.
func (a *answer) follow(ctx context.Context, control *http.ResponseController, body *shapes.Body) {
	at := a.from
	now := time.Now()
	over, said := now.Add(a.g.cfg.Stream), now
	timer := time.NewTimer(min(a.g.cfg.KeepAlive, a.g.cfg.Stream)) // one for both: a stream is woken often, and that moves its timers
	defer timer.Stop()
	for {
		if body != nil {
			if at = shapes.PlaceOf(body.Next); !a.events(control, body) {
				return
			}
			said = time.Now()
		}
		var changed <-chan struct{}
		var err error
		if body, changed, err = a.shape.Await(ctx, at); err != nil {
			return
		}
		if body != nil {
			continue
		}
		select {
		case <-changed:
		case now := <-timer.C:
			if !now.Before(over) {
				return
			}
			if now.Sub(said) >= a.g.cfg.KeepAlive {
				if !a.g.write(a.w, keepAlive) || control.Flush() != nil {
					return
				}
				a.rest()
				said = now
			}
			timer.Reset(max(0, min(said.Add(a.g.cfg.KeepAlive).Sub(now), over.Sub(now))))
		case <-a.g.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// keepAlive is a comment, which clients skip.
var keepAlive = []byte(": keep-alive\n\n")

// events sends a body as events, and lets go of it.
func (a *answer) events(control *http.ResponseController, body *shapes.Body) bool {
	defer a.shape.LetGo(body)
	for part := range body.Events() {
		if !a.g.write(a.w, part) {
			return false
		}
	}
	if control.Flush() != nil {
		return false
	}
	a.rest()
	return true
}
