package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/natsembed"
)

// TestARequestIsSentAgainWhenWhoGotItIsGone: the first consumer that gets a request says nothing more, as one that was
// killed. The next one answers.
func TestARequestIsSentAgainWhenWhoGotItIsGone(t *testing.T) {
	t.Parallel()
	server, err := natsembed.Start(natsembed.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	requests := make(chan *nats.Msg, 10)
	if _, err := nc.ChanSubscribe("status", requests); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		again    []time.Duration
		answered int // which request is
		comes    int // how many come
		err      error
	}{
		"the first is answered":           {[]time.Duration{time.Minute}, 1, 1, nil},
		"the third is answered":           {[]time.Duration{time.Millisecond, time.Millisecond}, 3, 3, nil},
		"one that must not be sent again": {nil, 2, 1, context.DeadlineExceeded},
		"none is answered":                {[]time.Duration{time.Millisecond, time.Millisecond}, 4, 3, context.DeadlineExceeded},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if c.err != nil {
			ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		}
		done := make(chan error, 1)
		go func() {
			m, err := ask(ctx, nc, "status", []byte("{}"), c.again)
			if err == nil && string(m.Data) != "yes" {
				err = errors.New(string(m.Data))
			}
			done <- err
		}()
		for n := 1; n <= c.comes; n++ {
			if m := <-requests; n == c.answered {
				if err := m.Respond([]byte("yes")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := <-done; !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if len(requests) > 0 {
			t.Errorf("%s: it was sent %d times more", name, len(requests))
		}
	}
}
