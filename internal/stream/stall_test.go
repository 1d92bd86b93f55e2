package stream_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// TestAStreamThatDoesNotAnswerHoldsACallerForAsLongAsItAllows: nothing refuses
// the messages and nothing comes back, as from servers without a quorum.
func TestAStreamThatDoesNotAnswerHoldsACallerForAsLongAsItAllows(t *testing.T) {
	const stall = 200 * time.Millisecond
	for _, test := range []struct {
		name   string
		config stream.AppenderConfig
	}{
		{"for room in the window's bytes", stream.AppenderConfig{WindowBytes: 4 << 10, Stall: stall}},
		{"for room in the window's messages", stream.AppenderConfig{WindowMessages: 4, Stall: stall}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
			a := b.appender(test.config)
			ok(t, a.Append(b.ctx(), numbered(0, 100), nil))
			ok(t, a.Flush(b.ctx()))
			sub, err := b.nc.Subscribe("s.>", func(*nats.Msg) {})
			ok(t, err)
			defer sub.Unsubscribe() //nolint:errcheck // it goes with the connection
			ok(t, b.nc.Flush())
			ok(t, b.js.DeleteStream(b.ctx(), b.stream.CachedInfo().Config.Name))
			for i := 1; ; i++ {
				if err = a.Append(b.ctx(), numbered(i, 1000), nil); err != nil {
					break
				}
			}
			if !errors.Is(err, stream.ErrStalled) || !errors.Is(a.Err(), stream.ErrStalled) {
				t.Errorf("%v, then %v; want ErrStalled", err, a.Err())
			}
		})
	}
}

// TestABusyStreamDoesNotStall: as long as something is acknowledged, callers
// wait for room however long that takes altogether.
func TestABusyStreamDoesNotStall(t *testing.T) {
	t.Parallel()
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	a := b.appender(stream.AppenderConfig{WindowBytes: 1 << 10, Stall: 2 * time.Second})
	deadline := time.Now().Add(3 * time.Second)
	n := 0
	for ; time.Now().Before(deadline); n++ {
		ok(t, a.Append(b.ctx(), numbered(n, 900), nil))
	}
	ok(t, a.Flush(b.ctx()))
	b.wantFirst(n)
}

// TestALostMessageIsNoticedByLooking: nothing refuses the message and nothing comes back, as when the leader died that had
// it, and the stream goes on without it. Nobody waits for room, so there is no stall.
func TestALostMessageIsNoticedByLooking(t *testing.T) {
	t.Parallel()
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	a := b.appender(stream.AppenderConfig{AckTimeout: time.Hour})
	ok(t, a.Append(b.ctx(), numbered(0, 100), nil))
	ok(t, a.Flush(b.ctx()))
	sub, err := b.nc.Subscribe("elsewhere", func(*nats.Msg) {})
	ok(t, err)
	defer sub.Unsubscribe() //nolint:errcheck // it goes with the connection
	ok(t, b.nc.Flush())
	m := numbered(1, 100)
	m.Subject = "elsewhere"
	ok(t, a.Append(b.ctx(), m, nil))
	select {
	case <-a.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the appender waits for an answer that does not come")
	}
	if !errors.Is(a.Err(), stream.ErrStalled) {
		t.Errorf("%v; want ErrStalled", a.Err())
	}
}
