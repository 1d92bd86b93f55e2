package intake

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

func TestWhatWaitsIsBounded(t *testing.T) {
	var bytes atomic.Int64
	l, other := NewLane(&bytes), NewLane(&bytes)
	ask := func(l *Lane, size int) error {
		return l.Admit(&Request{Msg: &nats.Msg{Data: make([]byte, size)}, To: &Endpoint{}})
	}
	if err := ask(l, maxRequest+1); err == nil || err.(*refuse.Error).Code != control.CodeBadRequest { //nolint:errorlint,errcheck // as it is
		t.Errorf("a request that is too large: %v", err)
	}
	taken := 0
	for ask(l, maxRequest) == nil {
		taken++
	}
	if taken != maxWaitingBytes/maxRequest {
		t.Errorf("%d large requests wait", taken)
	}
	if err := ask(other, maxRequest); err == nil || err.(*refuse.Error).Code != control.CodeUnavailable { //nolint:errorlint,errcheck // as it is
		t.Errorf("one more: %v", err)
	}
	if n := len(l.Rest()); n != taken || bytes.Load() != 0 {
		t.Errorf("%d of %d waited, %d bytes are left", n, taken, bytes.Load())
	}
	taken = 0
	for ask(l, 1) == nil {
		taken++
	}
	if taken != maxWaiting {
		t.Errorf("%d small requests wait", taken)
	}
	if err := ask(other, 1); err != nil {
		t.Errorf("a request of another kind: %v", err)
	}
	headers := &nats.Msg{Header: nats.Header{"X": {strings.Repeat("x", maxRequest)}}}
	if err := other.Admit(&Request{Msg: headers, To: &Endpoint{}}); err == nil || err.(*refuse.Error).Code != control.CodeBadRequest { //nolint:errorlint,errcheck // as it is
		t.Errorf("a request whose headers are too large: %v", err)
	}
	small := &nats.Msg{Header: nats.Header{"X": {"x"}}}
	if err := other.Admit(&Request{Msg: small, To: &Endpoint{}}); err != nil || small.Header != nil {
		t.Errorf("a request with a header: %v, which keeps %v", err, small.Header)
	}
	now := time.Now()
	if (&Request{Until: now}).Late(now) == nil || (&Request{Until: now.Add(1)}).Late(now) != nil {
		t.Error("what is late is not told from what is not")
	}
}
