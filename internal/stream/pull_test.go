package stream_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// publish stores the messages numbered from to to-1 as they are, each whole, as a writer does that knows no parts.
func (b *bench) publish(from, to, size int) {
	b.tb.Helper()
	for i := from; i < to; i++ {
		m := numbered(i, size)
		_, err := b.js.Publish(b.ctx(), m.Subject, m.Data)
		ok(b.tb, err)
	}
}

// numbers reads the next message and returns its number.
type numbers func(ctx context.Context) (int, error)

// pulling is a kind of reader that pulls.
type pulling struct {
	window int
	open   func(*bench) numbers
}

// kinds are all of them.
func kinds() map[string]pulling {
	next := func(r *stream.Reader) numbers {
		return func(ctx context.Context) (int, error) {
			m, err := r.Next(ctx)
			if err != nil {
				return 0, err
			}
			return number(m.Data), nil
		}
	}
	return map[string]pulling{
		"a reader": {4 << 20, func(b *bench) numbers { return next(b.reader(1)) }},
		"a reader of subjects": {1 << 20, func(b *bench) numbers {
			r, err := stream.OpenSubjectsReader(b.ctx(), b.js, "S", "s.*", 1)
			ok(b.tb, err)
			b.tb.Cleanup(r.Close)
			return next(r)
		}},
		"a durable": {2 << 20, func(b *bench) numbers { return b.durable(2 << 20) }},
	}
}

func (b *bench) durable(window int) numbers {
	b.tb.Helper()
	_, err := b.stream.CreateConsumer(b.ctx(), jetstream.ConsumerConfig{Durable: "d", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1, AckWait: time.Hour})
	ok(b.tb, err)
	d, err := stream.OpenDurable(b.ctx(), b.js, "S", "d", window, 30*time.Second)
	ok(b.tb, err)
	b.tb.Cleanup(d.Close)
	return func(ctx context.Context) (int, error) {
		m, err := d.Next(ctx)
		if err != nil {
			return 0, err
		}
		return number(m.Data), m.Ack()
	}
}

// wantNumbers fails the test unless the numbers from to to-1 come next.
func wantNumbers(t *testing.T, name string, next numbers, from, to int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := from; i < to; i++ {
		n, err := next(ctx)
		if err != nil {
			t.Fatalf("%s: %v before message %d", name, err, i)
		}
		if n != i {
			t.Fatalf("%s: message %d, want %d", name, n, i)
		}
	}
}

func TestARequestEndsByBytes(t *testing.T) {
	for name, kind := range kinds() {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
			const n, size = 64, 256 << 10 // 16 MiB
			b.publish(0, n, size)
			before := b.nc.Stats().InBytes
			next := kind.open(b)
			least, most := kind.window-size, kind.window+64<<10
			eventually(t, func() bool { return int(b.nc.Stats().InBytes-before) > least-size })
			ok(t, b.nc.FlushTimeout(patience))
			if got := int(b.nc.Stats().InBytes - before); got > most {
				t.Errorf("%d bytes have come in before anybody took one, more than %d", got, most)
			}
			wantNumbers(t, name, next, 0, n)
		})
	}
}

// A small message takes several times its size in memory.
func TestARequestEndsByMessages(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	const n = 20_000
	b.fill(0, n, 8)
	before := b.nc.Stats().InMsgs
	r := b.reader(1)
	eventually(t, func() bool { return b.nc.Stats().InMsgs-before >= 4096 })
	ok(t, b.nc.FlushTimeout(patience))
	if got := b.nc.Stats().InMsgs - before; got > 4096+10 {
		t.Errorf("%d messages have come in before anybody took one", got)
	}
	b.want(r, 0, n)
}

// The server does not say so when a request has ended with exactly its last byte. Small windows meet that often: if each
// time it had to be found out by the lack of heartbeats, this would take minutes.
func TestARequestEndsWithItsLastByte(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	const n = 4000
	b.publish(0, n, 8)
	wantNumbers(t, "a durable", b.durable(400), 0, n)
}

// The messages are as writers of other versions made them, and larger than what readers ask for.
func TestMessagesLargerThanWhatIsAskedFor(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: 8 << 20}, jetstream.StreamConfig{})
	const large = 5 << 20
	put := func(from int) {
		b.publish(from, from+3, 100)
		b.publish(from+3, from+5, large)
		b.publish(from+5, from+8, 100<<10)
		b.publish(from+8, from+9, large)
	}
	put(0)
	open := map[string]numbers{}
	for name, kind := range kinds() {
		open[name] = kind.open(b)
		wantNumbers(t, name, open[name], 0, 9)
	}
	subject := stream.NewSubjectReader(b.js, "S", "s.0", 1)
	put(9) // while they wait
	for name, next := range open {
		wantNumbers(t, name, next, 9, 18)
	}
	for i := 0; i < 18; i += 3 { // see numbered
		m, found, err := subject.Next(b.ctx())
		ok(t, err)
		if !found || number(m.Data) != i {
			t.Fatalf("message %d by its subject: found %t", i, found)
		}
	}
}

// A process has a reader for each of its partitions, which mostly have nothing to read.
func TestAnIdleReaderIsSmall(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.fill(0, 1, 8)
	const n, most = 20, 160 << 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		r, err := stream.OpenSubjectsReader(b.ctx(), b.js, "S", "s.*", 1)
		ok(t, err)
		t.Cleanup(r.Close)
		_, err = r.Next(b.ctx())
		ok(t, err)
	}
	runtime.ReadMemStats(&after)
	each := (after.TotalAlloc - before.TotalAlloc) / n
	t.Logf("%d KiB a reader, the server's part counted", each>>10)
	if each > most {
		t.Errorf("opening a reader allocates %d KiB, more than %d", each>>10, most>>10)
	}
}
