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
	public := "public"
	if a.g.access.private {
		public = "private"
	}
	h.Set("Cache-Control", fmt.Sprintf("%s, max-age=%d", public, seconds(a.g.cfg.Stream-time.Second)))
	h.Set("Electric-Has-Data", "true")
	h.Set("X-Accel-Buffering", "no") // a proxy must pass on each event as it comes
	if a.r.ProtoMajor == 1 {
		h.Set("Connection", "keep-alive")
	}
	a.w.WriteHeader(http.StatusOK)
	if a.r.Method == http.MethodHead {
		return nil
	}
	a.g.count.streams.Add(1)
	defer a.g.count.streams.Add(-1)
	a.follow(ctx, body)
	return nil
}

func (a *answer) follow(ctx context.Context, body *shapes.Body) {
	control := http.NewResponseController(a.w)
	if control.Flush() != nil {
		return
	}
	at := a.req.Offset
	over := time.NewTimer(a.g.cfg.Stream)
	defer over.Stop()
	quiet := time.NewTimer(a.g.cfg.KeepAlive)
	defer quiet.Stop()
	for {
		tail, changed, err := a.shape.Tail()
		if err != nil {
			return
		}
		if body == nil && at.Compare(tail) < 0 {
			if body, err = a.shape.Read(ctx, at); err != nil {
				return
			}
		}
		if body != nil {
			if !a.g.write(a.w, body.Events()) || control.Flush() != nil {
				return
			}
			at, body = body.Next, nil
			quiet.Reset(a.g.cfg.KeepAlive)
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
