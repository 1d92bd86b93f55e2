package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
)

// TestAQuietStreamEndsAsItShould reads a stream of server-sent events on which nothing comes for longer than a client has to take something. Its
// end must be said: a connection that breaks instead is an error to clients, who then wait before they come again.
func TestAQuietStreamEndsAsItShould(t *testing.T) {
	s := stack.Start(t, items)
	s.Gateway.WriteWithin, s.Gateway.Stream = 300*time.Millisecond, 1500*time.Millisecond
	base, _ := s.StartGateway()
	r := newReader(base, values("table", "items"), false)
	for !r.live {
		if err := r.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	q := values("table", "items", "handle", r.handle, "offset", r.offset, "cursor", r.cursor, "live", "true", "live_sse", "true")
	if got, err := get(t.Context(), base, q); err != nil || got.status != http.StatusOK {
		t.Errorf("status %d, %v", got.status, err)
	}
	// One that brings something at first is as quiet behind that.
	q.Set("offset", "0_0")
	if got, err := get(t.Context(), base, q); err != nil || got.status != http.StatusOK {
		t.Errorf("behind the snapshot: status %d, %v", got.status, err)
	}
	s.Exec("UPDATE items SET title = 'new'")
	if got, err := get(t.Context(), base, q); err != nil || got.status != http.StatusOK || len(got.body) == 0 {
		t.Errorf("behind changes: status %d, %v, %d bytes", got.status, err, len(got.body))
	}
}
