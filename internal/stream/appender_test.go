package stream_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

func TestAppenderStoresInOrder(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.noLeaks()
	a := b.appender(stream.AppenderConfig{WindowMessages: 16})
	const n = 500
	var called []uint64
	for i := range n {
		ok(t, a.Append(b.ctx(), numbered(i, 100), func(seq uint64) { called = append(called, seq) }))
	}
	ok(t, a.Flush(b.ctx()))
	b.wantFirst(n)
	if a.Stored() != n || a.InFlight() != 0 || a.Err() != nil {
		t.Errorf("stored %d, in flight %d, %v; want %d, 0 and no error", a.Stored(), a.InFlight(), a.Err(), n)
	}
	a.Close() // and with it the goroutine that wrote called
	if len(called) != n || !slices.IsSorted(called) || called[0] != 1 || called[n-1] != n {
		t.Errorf("stored callbacks came for %v", called)
	}
}

func TestAppenderGoesOnWhereTheStreamEnds(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	for i := range 5 {
		a := b.appender(stream.AppenderConfig{})
		if a.Stored() != uint64(2*i) {
			t.Fatalf("appender %d starts behind %d, want %d", i, a.Stored(), 2*i)
		}
		ok(t, a.Append(b.ctx(), numbered(2*i, 8), nil))
		ok(t, a.Append(b.ctx(), numbered(2*i+1, 8), nil))
		ok(t, a.Flush(b.ctx()))
		a.Close()
	}
	b.wantFirst(10)
}

func TestConcurrentCallersDoNotMixTheirParts(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: 8 << 10}, jetstream.StreamConfig{})
	a := b.appender(stream.AppenderConfig{})
	const callers, each = 8, 10
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := range each {
				if err := a.Append(b.ctx(), numbered(c*each+i, 20<<10), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	ok(t, a.Flush(b.ctx()))
	r := b.reader(1)
	next := map[int]int{}
	for range callers * each {
		m, err := r.Next(b.ctx())
		ok(t, err)
		n := number(m.Data)
		if c, i := n/each, n%each; next[c] != i || len(m.Data) != 20<<10 || m.Seq != m.First+3 {
			t.Fatalf("caller %d: message %d of %d bytes at %d–%d, want message %d", c, i, len(m.Data), m.First, m.Seq, next[c])
		}
		next[n/each]++
	}
}

// frozen is an appender whose answers are not looked at until thaw is called: what is sent stays in flight.
func frozen(b *bench, cfg stream.AppenderConfig) (a *stream.Appender, thaw func()) {
	a = b.appender(cfg)
	gate := make(chan struct{})
	thaw = sync.OnceFunc(func() { close(gate) })
	b.tb.Cleanup(thaw)
	entered := make(chan struct{})
	ok(b.tb, a.Append(b.ctx(), numbered(0, 8), func(uint64) {
		close(entered)
		<-gate
	}))
	<-entered
	return a, thaw
}

func TestWindowBoundsTheBytesInFlight(t *testing.T) {
	const window, size = 64 << 10, 10 << 10
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	a, thaw := frozen(b, stream.AppenderConfig{WindowBytes: window})
	sent := 0
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	var err error
	for ; sent < 100; sent++ {
		if err = a.Append(short(), numbered(1+sent, size), nil); err != nil {
			break
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) || sent != window/size {
		t.Fatalf("%d messages of %d bytes went into a window of %d, then: %v", sent, size, window, err)
	}
	if a.InFlight() != sent {
		t.Errorf("%d messages are in flight, want %d", a.InFlight(), sent)
	}
	if err := a.Flush(short()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush with messages in flight: %v, want its context's error", err)
	}

	t.Log("a wait that was given up leaves the appender as it was")
	thaw()
	ok(t, a.Append(b.ctx(), numbered(1+sent, 5*window), nil)) // larger than the window: alone
	ok(t, a.Flush(b.ctx()))
	b.wantFirst(sent + 2)
}

func TestWindowBoundsTheNumberOfMessages(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	a, thaw := frozen(b, stream.AppenderConfig{WindowMessages: 4})
	const n = 50
	var sent atomic.Int64
	done := make(chan error, 1)
	go func() {
		for i := range n {
			if err := a.Append(b.ctx(), numbered(1+i, 8), nil); err != nil {
				done <- err
				return
			}
			sent.Add(1)
		}
		done <- a.Flush(b.ctx())
	}()
	eventually(t, func() bool { return sent.Load() == 4 })
	if a.InFlight() > 5 { // one is sent before it waits for its place
		t.Errorf("%d messages are in flight", a.InFlight())
	}
	thaw()
	ok(t, <-done)
	b.wantFirst(n + 1)
}

func TestSecondWriterIsFencedAndStoresNothing(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.noLeaks()
	zombie, owner := b.appender(stream.AppenderConfig{}), b.appender(stream.AppenderConfig{})
	const n = 20
	for i := range n {
		ok(t, owner.Append(b.ctx(), numbered(i, 100), nil))
	}
	ok(t, owner.Flush(b.ctx()))

	stored := false
	for i := range n { // the first answers may be late: all of these must fail in the end
		if err := zombie.Append(b.ctx(), numbered(1000+i, 100), func(uint64) { stored = true }); err != nil {
			break
		}
	}
	if err := zombie.Flush(b.ctx()); !errors.Is(err, stream.ErrFenced) {
		t.Errorf("Flush of the second writer: %v, want ErrFenced", err)
	}
	<-zombie.Done()
	if err := zombie.Append(b.ctx(), numbered(2000, 8), nil); !errors.Is(err, stream.ErrFenced) {
		t.Errorf("Append of the second writer: %v, want ErrFenced", err)
	}
	zombie.Close()
	if !errors.Is(zombie.Err(), stream.ErrFenced) || stored {
		t.Errorf("%v, stored %t; want ErrFenced and nothing stored", zombie.Err(), stored)
	}
	ok(t, owner.Append(b.ctx(), numbered(n, 8), nil))
	ok(t, owner.Flush(b.ctx()))
	b.wantFirst(n + 1)
}

func TestFullStreamRefusesWithAdviceAndKeepsAPrefix(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{MaxBytes: 100 << 10, Discard: jetstream.DiscardNew})
	a := b.appender(stream.AppenderConfig{})
	var acked atomic.Int64
	for i := range 200 {
		if err := a.Append(b.ctx(), numbered(i, 2<<10), func(uint64) { acked.Add(1) }); err != nil {
			break
		}
	}
	err := a.Flush(b.ctx())
	if err == nil || !strings.Contains(err.Error(), "out of space") || !strings.Contains(err.Error(), "raise its limit") {
		t.Errorf("%v, want advice on space", err)
	}
	a.Close()
	if n := b.wantFirst(int(acked.Load())); n == 0 || n > 50 {
		t.Errorf("%d messages of 2 KiB are in a stream of 100 KiB", n)
	}
}

func TestStoppedServerEndsTheAppenderWithAPrefixStored(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, natsembed.Options{Dir: dir}, jetstream.StreamConfig{})
	a := b.appender(stream.AppenderConfig{})
	var acked atomic.Int64
	failed := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if err := a.Append(b.ctx(), numbered(i, 4<<10), func(uint64) { acked.Add(1) }); err != nil {
				failed <- err
				return
			}
		}
	}()
	eventually(t, func() bool { return acked.Load() > 200 })
	b.server.Stop()
	// A server that goes down in good order lets go of its streams before its connections.
	stopped := func(err error) bool {
		return errors.Is(err, stream.ErrDisconnected) || errors.Is(err, jetstream.ErrNoStreamResponse)
	}
	if err := <-failed; !stopped(err) {
		t.Errorf("%v, want ErrDisconnected", err)
	}
	a.Close()
	if !stopped(a.Err()) {
		t.Errorf("Err() = %v, want ErrDisconnected", a.Err())
	}
	again := newBench(t, natsembed.Options{Dir: dir}, jetstream.StreamConfig{})
	again.wantFirst(int(acked.Load()))
}

// However often the connection is cut, a writer that starts again from the tail stores each message once, and a reader
// that is cut as well reads each once.
func TestCutConnectionsLoseAndRepeatNothing(t *testing.T) {
	b := newBench(t, natsembed.Options{Port: -1}, jetstream.StreamConfig{})
	const n = 3000
	nc, writes := b.overTCP()
	readerConn, reads := b.overTCP()
	js, err := jetstream.New(readerConn)
	ok(t, err)
	r, err := stream.OpenReader(b.ctx(), js, "S", 1)
	ok(t, err)
	t.Cleanup(r.Close)
	read := make(chan error, 1)
	go func() {
		for i := range n {
			m, err := r.Next(b.ctx())
			if err == nil && number(m.Data) != i {
				err = errors.New("out of order")
			}
			if err != nil {
				read <- err
				return
			}
			if i%1000 == 500 {
				reads.cut()
			}
		}
		read <- nil
	}()

	cuts := 0
	for done := false; !done; {
		opening, cancel := context.WithTimeout(t.Context(), time.Second)
		a, err := stream.OpenAppender(opening, nc, "S", stream.AppenderConfig{})
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			continue // its question went into the connection that was cut
		}
		ok(t, err)
		a.WithoutFence()
		from := int(a.Stored())
		cutAt := from + 100 + rand.IntN(500)
		for i := from; err == nil && i < n; i++ {
			err = a.Append(b.ctx(), numbered(i, 1<<10), nil)
			if i == cutAt {
				writes.cut()
				cuts++
			}
		}
		if err == nil {
			err = a.Flush(b.ctx())
		}
		if done = err == nil; !done && !errors.Is(err, stream.ErrDisconnected) && !errors.Is(err, stream.ErrFenced) {
			t.Fatalf("after %d cuts: %v, want ErrDisconnected or ErrFenced", cuts, err)
		}
		a.Close()
	}
	if got := b.wantFirst(n); got != n || cuts < 3 {
		t.Errorf("%d messages are stored after %d cuts, want %d", got, cuts, n)
	}
	if err := <-read; err != nil {
		t.Errorf("the reader: %v", err)
	}
}

func TestCloseEndsTheAppender(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.noLeaks()
	a := b.appender(stream.AppenderConfig{})
	ok(t, a.Append(b.ctx(), numbered(0, 8), nil))
	ok(t, a.Flush(b.ctx()))
	select {
	case <-a.Done():
		t.Fatal("done before Close")
	default:
	}
	a.Close()
	a.Close() // harmless
	<-a.Done()
	if err := a.Append(b.ctx(), numbered(1, 8), nil); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Append: %v, want ErrClosed", err)
	}
	if err := a.Flush(b.ctx()); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Flush: %v, want ErrClosed", err)
	}
	b.wantFirst(1)
}

func TestCloseFreesAWaitingCaller(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.noLeaks()
	a, thaw := frozen(b, stream.AppenderConfig{WindowBytes: 1000})
	ok(t, a.Append(b.ctx(), numbered(1, 1000), nil))
	waiting := make(chan error, 1)
	go func() { waiting <- a.Append(b.ctx(), numbered(2, 1000), nil) }()
	go a.Close() // waits for the callback, which waits for thaw
	if err := <-waiting; !errors.Is(err, stream.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	thaw()
	a.Close()
}

func TestACancelledMessageInPartsEndsTheAppender(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: 8 << 10}, jetstream.StreamConfig{})
	a, thaw := frozen(b, stream.AppenderConfig{WindowBytes: 10 << 10})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.Append(ctx, numbered(1, 20<<10), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want the context's error", err)
	}
	if err := a.Append(b.ctx(), numbered(2, 8), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the appender goes on behind half a message: %v", err)
	}
	thaw()
	a.Close()

	t.Log("the successor's message follows the half one, which readers drop")
	successor := b.appender(stream.AppenderConfig{})
	ok(t, successor.Append(b.ctx(), numbered(1, 20<<10), nil))
	ok(t, successor.Flush(b.ctx()))
	r := b.reader(2)
	m, err := r.Next(b.ctx())
	ok(t, err)
	if number(m.Data) != 1 || len(m.Data) != 20<<10 || m.First == 2 || m.Seq != m.First+3 {
		t.Errorf("read message %d of %d bytes at %d–%d", number(m.Data), len(m.Data), m.First, m.Seq)
	}
}

func TestAMessageThatCannotBeSentEndsTheAppenderWithTheReason(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	a := b.appender(stream.AppenderConfig{})
	large := stream.Message{Subject: "s.x", Header: stream.Header("Sb-Test", strings.Repeat("x", 2<<20))}
	if err := a.Append(b.ctx(), large, nil); !errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, stream.ErrDisconnected) {
		t.Errorf("%v, want ErrMaxPayload", err)
	}
	if !errors.Is(a.Err(), nats.ErrMaxPayload) {
		t.Errorf("Err() = %v", a.Err())
	}
	if n := len(b.stored()); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}

func TestOpenAppenderSaysWhichStreamIsMissing(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.noLeaks()
	if _, err := stream.OpenAppender(b.ctx(), b.nc, "NONE", stream.AppenderConfig{}); !errors.Is(err, jetstream.ErrStreamNotFound) || !strings.Contains(err.Error(), "NONE") {
		t.Errorf("%v", err)
	}
}

// eventually waits for a condition that nothing signals.
func eventually(tb testing.TB, holds func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatal("waited in vain")
		}
	}
}
