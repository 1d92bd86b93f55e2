package gateway

import (
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Bounds of the bodies of requests: of one, how long it may take, from which size it is counted, and of all that are counted.
const (
	maxBody    = 8_000_000
	bodyWithin = 30 * time.Second
	bodyFrom   = 64 << 10
	allBodies  = 64 << 20
)

// bodies bounds what the bodies of requests take in memory together: anybody can begin many and take half a minute for each.
type bodies struct{ bytes *semaphore.Weighted }

func newBodies() *bodies { return &bodies{semaphore.NewWeighted(allBodies)} }

// read reads a request's body. done gives its room back, once nothing of it is needed.
func (b *bodies) read(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	weight := r.ContentLength
	switch {
	case weight > maxBody:
		return nil, nil, errBodyLarge
	case weight < 0:
		weight = maxBody // it does not say how large it is
	case weight < bodyFrom:
		weight = 0
	}
	if !b.bytes.TryAcquire(weight) {
		return nil, nil, protocol.Overloaded(http.StatusServiceUnavailable, "body_limit_exceeded", "Too many large requests are being read, please retry", 5)
	}
	defer func() {
		if err != nil {
			b.bytes.Release(weight)
		}
	}()
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyWithin)) // readers that have none need none
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, nil, errBodyLarge
	}
	if err != nil {
		return nil, nil, protocol.Body(http.StatusBadRequest, "Failed to read request body", "")
	}
	_ = control.SetReadDeadline(time.Time{})
	return body, func() { b.bytes.Release(weight) }, nil
}

var errBodyLarge = protocol.Body(http.StatusRequestEntityTooLarge, "Request body too large", "")
