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
	h.Set("Cache-Control", fmt.Sprintf("%s, max-age=%d", a.whose(), seconds(a.g.cfg.Stream-time.Second)))
	h.Set("Electric-Has-Data", "true")
	h.Set("X-Accel-Buffering", "no") // a proxy must pass on each event as it comes
	if a.r.ProtoMajor == 1 {
		h.Set("Connection", "keep-alive")
	}
	a.w.WriteHeader(http.StatusOK)
	a.g.count.streams.Add(1)
	defer a.g.count.streams.Add(-1)
	control := http.NewResponseController(a.w)
	if a.r.Method == http.MethodHead || control.Flush() != nil {
		a.letGo(body)
		return nil
	}
	a.follow(ctx, control, body)
	_ = control.SetWriteDeadline(time.Now().Add(a.g.cfg.WriteWithin)) // that of the last event may be over, and the end is written yet
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
	over := time.NewTimer(a.g.cfg.Stream)
	defer over.Stop()
	quiet := time.NewTimer(a.g.cfg.KeepAlive)
	defer quiet.Stop()
	for {
		if body != nil {
			if at = body.Next; !a.events(control, body) {
				return
			}
			quiet.Reset(a.g.cfg.KeepAlive)
		}
		tail, changed, err := a.shape.Tail()
		if err != nil {
			return
		}
		if body = nil; at.Compare(tail) < 0 {
			if body, err = a.shape.Read(ctx, at); err != nil {
				return
			}
		}
		if body != nil {
			continue
		}
		select {
		case <-changed:
		case <-quiet.C:
			if !a.g.write(a.w, []byte(": keep-alive\n\n")) || control.Flush() != nil {
				return
			}
			quiet.Reset(a.g.cfg.KeepAlive)
		case <-over.C:
			return
		case <-a.g.stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// events sends a body as events, and lets go of it.
func (a *answer) events(control *http.ResponseController, body *shapes.Body) bool {
	defer a.shape.LetGo(body)
	for part := range body.Events() {
		if !a.g.write(a.w, part) {
			return false
		}
	}
	return control.Flush() == nil
}
