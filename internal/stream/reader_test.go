package stream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// fill appends the messages numbered from to to-1.
func (b *bench) fill(from, to, size int) {
	b.tb.Helper()
	a := b.appender(stream.AppenderConfig{})
	for i := from; i < to; i++ {
		ok(b.tb, a.Append(b.ctx(), numbered(i, size), nil))
	}
	ok(b.tb, a.Flush(b.ctx()))
	a.Close()
}

// want fails the test unless the messages from to to-1 come next.
func (b *bench) want(r *stream.Reader, from, to int) {
	b.tb.Helper()
	for i := from; i < to; i++ {
		m, err := r.Next(b.ctx())
		ok(b.tb, err)
		if number(m.Data) != i || m.Subject != numbered(i, 8).Subject {
			b.tb.Fatalf("message %d on %s at %d, want message %d", number(m.Data), m.Subject, m.Seq, i)
		}
	}
}

func TestReaderReadsInOrderAndWaitsAtTheEnd(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.noLeaks()
	const n = 2000
	b.fill(0, n, 100)
	r := b.reader(1)
	b.want(r, 0, n/2)
	m, err := r.Next(b.ctx())
	ok(t, err)
	if m.Seq != n/2+1 || m.First != m.Seq || m.Pending != n-m.Seq || time.Since(m.Stored) > patience {
		t.Errorf("message at %d–%d, %d behind it, stored %s", m.First, m.Seq, m.Pending, m.Stored)
	}
	b.want(r, n/2+1, n)

	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the end: %v, want the context's error", err)
		}
		cancel()
	}
	b.fill(n, n+10, 100)
	b.want(r, n, n+10)
	r.Close()
	info, err := b.stream.Info(b.ctx())
	ok(t, err)
	if info.State.Consumers != 0 {
		t.Errorf("%d consumers are left on the server", info.State.Consumers)
	}
	if _, err := r.Next(b.ctx()); !errors.Is(err, jetstream.ErrMsgIteratorClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestReaderStartsWhereItIsTold(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.fill(0, 20, 8)
	for _, from := range []uint64{0, 1, 2, 20} {
		b.want(b.reader(from), max(int(from), 1)-1, 20)
	}
	t.Log("also where there is nothing yet")
	r := b.reader(21)
	b.fill(20, 22, 8)
	b.want(r, 20, 22)
}

func TestReaderNoticesWhatWasDiscarded(t *testing.T) {
	t.Run("before it began", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.fill(0, 20, 8)
		ok(t, b.stream.Purge(b.ctx(), jetstream.WithPurgeSequence(11)))
		b.want(b.reader(11), 10, 20)
		if m, err := b.reader(10).Next(b.ctx()); !errors.Is(err, stream.ErrGap) {
			t.Errorf("message %d, %v; want ErrGap", m.Seq, err)
		}
	})
	t.Run("all of it, before it began", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.fill(0, 20, 8)
		ok(t, b.stream.Purge(b.ctx()))
		r := b.reader(5)
		b.fill(20, 21, 8)
		if m, err := r.Next(b.ctx()); !errors.Is(err, stream.ErrGap) {
			t.Errorf("message %d, %v; want ErrGap", m.Seq, err)
		}
	})
	t.Run("in the middle", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.fill(0, 20, 8)
		ok(t, b.stream.DeleteMsg(b.ctx(), 6))
		r := b.reader(1)
		b.want(r, 0, 5)
		if m, err := r.Next(b.ctx()); !errors.Is(err, stream.ErrGap) {
			t.Errorf("message %d, %v; want ErrGap", m.Seq, err)
		}
	})
	t.Run("while it waited at the end", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.fill(0, 5, 8)
		r := b.reader(1)
		b.want(r, 0, 5)
		ok(t, b.stream.Purge(b.ctx()))
		b.fill(5, 7, 8) // nothing it had not read is gone
		b.want(r, 5, 7)
	})
}

// A stream at its limit discards message by message, so its beginning can be the middle of a set of parts. Nobody can ever
// read that: it must not stop a reader for good.
func TestReaderPassesOverPartsWhoseBeginningIsGone(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: 8 << 10}, jetstream.StreamConfig{})
	b.fill(0, 3, 20<<10) // four parts each
	ok(t, b.stream.Purge(b.ctx(), jetstream.WithPurgeSequence(3)))
	r := b.reader(3)
	m, err := r.Next(b.ctx())
	ok(t, err)
	if number(m.Data) != 1 || m.First != 5 || m.Seq != 8 {
		t.Errorf("message %d at %d–%d, want message 1 at 5–8", number(m.Data), m.First, m.Seq)
	}
	b.want(r, 2, 3)
}

func TestOpenReaderSaysWhichStreamIsMissing(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	if _, err := stream.OpenReader(b.ctx(), b.js, "NONE", 1); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("%v", err)
	}
}

// The server has delivered what was on its way when the connection was cut, and nothing follows by which a gap would show.
func TestWhatWasOnItsWayWhenTheConnectionWasCutComesAgain(t *testing.T) {
	b := newBench(t, natsembed.Options{Port: -1}, jetstream.StreamConfig{})
	nc, w := b.overTCP()
	js, err := jetstream.New(nc)
	ok(t, err)
	r, err := stream.OpenReader(b.ctx(), js, "S", 1)
	ok(t, err)
	t.Cleanup(r.Close)
	const n = 10
	b.fill(0, 1, 8)
	b.want(r, 0, 1)
	w.deafen()
	b.fill(1, n, 8)
	b.delivered(n)
	w.cut()
	began := time.Now()
	for i := 1; i < n; i++ {
		soon, cancel := context.WithTimeout(b.ctx(), patience)
		m, err := r.Next(soon)
		cancel()
		ok(t, err)
		if number(m.Data) != i {
			t.Fatalf("message %d comes after %d", number(m.Data), i-1)
		}
	}
	t.Logf("after %s", time.Since(began))
}

// A durable does not deliver it again before its time to acknowledge is over, which may be long: who reads it hears of it.
func TestWhatWasOnItsWayToWhoReadsADurableIsMissed(t *testing.T) {
	b := newBench(t, natsembed.Options{Port: -1}, jetstream.StreamConfig{})
	nc, w := b.overTCP()
	js, err := jetstream.New(nc)
	ok(t, err)
	_, err = b.stream.CreateConsumer(b.ctx(), jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1, AckWait: time.Hour})
	ok(t, err)
	d, err := stream.OpenDurable(b.ctx(), js, "S", "d", 1<<20, 30*time.Second)
	ok(t, err)
	t.Cleanup(d.Close)
	b.fill(0, 1, 8)
	_, err = d.Next(b.ctx())
	ok(t, err)
	w.deafen()
	b.fill(1, 2, 8)
	b.delivered(2)
	w.cut()
	soon, cancel := context.WithTimeout(b.ctx(), patience)
	defer cancel()
	if m, err := d.Next(soon); err == nil || soon.Err() != nil {
		t.Errorf("%v, %v", m, err)
	}
}

// A durable that was reset begins its count again, and says so in its heartbeats: its next reader misses nothing, however long it waits.
func TestADurableThatWasResetIsReadFromTheBeginningOfItsCount(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	_, err := b.stream.CreateConsumer(b.ctx(), jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1, AckWait: time.Hour})
	ok(t, err)
	b.fill(0, 5, 8)
	for range 2 {
		d, err := stream.OpenDurable(b.ctx(), b.js, "S", "d", 1<<20, 200*time.Millisecond) // a heartbeat comes every 100 ms
		ok(t, err)
		for range 5 {
			_, err := d.Next(b.ctx())
			ok(t, err)
		}
		idle, cancel := context.WithTimeout(b.ctx(), 500*time.Millisecond)
		if m, err := d.Next(idle); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while it waits: %v, %v", m, err)
		}
		cancel()
		d.Close()
		_, err = b.js.ResetConsumer(b.ctx(), "S", "d")
		ok(t, err)
	}
}

// delivered waits until a consumer of the stream has delivered so many messages.
func (b *bench) delivered(n uint64) {
	b.tb.Helper()
	st, err := b.js.Stream(b.ctx(), "S")
	ok(b.tb, err)
	eventually(b.tb, func() bool {
		for c := range st.ListConsumers(b.ctx()).Info() {
			if c.Delivered.Consumer == n {
				return true
			}
		}
		return false
	})
}
