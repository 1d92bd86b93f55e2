package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"github.com/shapebus/shapebus/pkg/topology"
)

// Errors of an Appender. All of them end it: what it stored is a prefix of
// what it was given, and the tail of the stream tells how long a prefix. The
// remedy is always the same: start again from there.
var (
	// ErrFenced says that the stream's last sequence is not the one expected:
	// somebody else writes to it, a message before failed, or messages of the
	// appender before were still on their way through a cut connection when
	// this one was opened.
	ErrFenced = errors.New("another writer has written to the stream")
	// ErrDisconnected says that the connection to NATS was lost with messages
	// in flight, so their fate is unknown, or that it is not the one it was: the server that
	// is back takes less in one message than the appender was opened for.
	ErrDisconnected = errors.New("the connection to NATS was lost")
	// ErrStalled says that the connection stands and the stream does not
	// answer, so the fate of messages in flight is unknown.
	ErrStalled = errors.New("the stream does not answer")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("the appender is closed")
)

// Message is one message to append.
type Message struct {
	Subject string
	Header  nats.Header
	// PartHeader replaces Header on all parts but the last when the message
	// is larger than the server takes. nil means Header on all of them.
	PartHeader nats.Header
	Data       []byte // not kept after Append returns
}

// AppenderConfig bounds what an Appender holds. Zero values mean the defaults.
type AppenderConfig struct {
	WindowBytes    int           // bytes in flight; default 4 MiB
	WindowMessages int           // messages in flight; default 512, and not more
	AckTimeout     time.Duration // after which a message's fate is unknown although the stream cannot be looked at; default 30 s
	// Stall bounds how long a call waits during which not one message is
	// acknowledged; then the appender ends with ErrStalled. 0 means no bound but
	// AckTimeout.
	Stall time.Duration
	// PurgeFence removes the empty messages with which the appender begins, once there is something
	// behind them: they count against the stream's limits. It leaves a hole in the stream's
	// sequences, so it is for streams that nobody reads by sequence, as [Reader] and [Seek] do.
	PurgeFence bool
	APIPrefix  string // of JetStream's subjects, see topology.JetStream
}

// Appender is the one writer of a stream. It publishes asynchronously in a
// bounded window, each message with the stream sequence that it must follow:
// a second writer fails on its first message, and whatever fails fails
// everything behind it. That holds even for messages that were on their way for any length
// of time while somebody else went on; see fence.go. Safe for concurrent use; messages of concurrent
// callers do not mix within a message's parts.
type Appender struct {
	js        jetstream.JetStream
	stream    string
	partLimit int // data in one message
	window    int64
	space     *semaphore.Weighted

	mu   sync.Mutex // held while a message is published, so that order is sequence order
	next uint64     // sequence of the last message published
	// fence is the subject of the fence that the first message goes behind,
	// "" once it has.
	fence      string
	purgeFence bool
	purging    sync.WaitGroup
	ackTimeout time.Duration
	stall      atomic.Int64 // as a Duration

	queue    chan inFlight
	inFlight atomic.Int64
	stored   atomic.Uint64
	ctx      context.Context //nolint:containedctx // the appender's own life: cancelled with its cause by the first failure
	fail     context.CancelCauseFunc
	finished chan struct{}
}

type inFlight struct {
	future jetstream.PubAckFuture // nil when it is stored already
	seq    uint64
	bytes  int64
	stored func(seq uint64)
}

// OpenAppender makes an appender that goes on after the stream's last
// message. It sends nothing; the first Append takes some milliseconds more. The connection must be the caller's for as long
// as the appender lives; losing it ends the appender. A stream that takes no atomic batches is
// refused with topology.ErrNoAtomicBatches.
func OpenAppender(ctx context.Context, nc *nats.Conn, streamName string, cfg AppenderConfig) (*Appender, error) {
	if cfg.WindowBytes == 0 {
		cfg.WindowBytes = 4 << 20
	}
	if cfg.WindowMessages == 0 || cfg.WindowMessages > maxWindowMessages {
		cfg.WindowMessages = maxWindowMessages
	}
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = 30 * time.Second
	}
	js, err := topology.JetStream(nc, cfg.APIPrefix,
		jetstream.WithDefaultTimeout(2*lookEach),                     // the stream may have no leader now, and does not tell when it has
		jetstream.WithPublishAsyncMaxPending(2*cfg.WindowMessages+2), // the window is kept here: this limit must not be met
		jetstream.WithPublishAsyncTimeout(cfg.AckTimeout))
	if err != nil {
		return nil, fmt.Errorf("open appender for stream %s: %w", streamName, err)
	}
	// Before the maximum payload is looked at: another connection may have another one.
	lost := nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	st, err := js.Stream(ctx, streamName)
	var limit int
	if err == nil {
		limit, err = partLimit(nc.MaxPayload())
	}
	if err != nil {
		nc.RemoveStatusListener(lost)
		return nil, fmt.Errorf("open appender for stream %s: %w", streamName, err)
	}
	fence, err := fenceSubject(nc, st.CachedInfo().Config)
	if err != nil {
		nc.RemoveStatusListener(lost)
		return nil, fmt.Errorf("open appender for stream %s: %w", streamName, err)
	}
	life, fail := context.WithCancelCause(context.Background())
	a := &Appender{
		js:         js,
		stream:     streamName,
		partLimit:  limit,
		window:     int64(cfg.WindowBytes),
		space:      semaphore.NewWeighted(int64(cfg.WindowBytes)),
		next:       st.CachedInfo().State.LastSeq,
		fence:      fence,
		purgeFence: cfg.PurgeFence,
		ackTimeout: cfg.AckTimeout,
		queue:      make(chan inFlight, cfg.WindowMessages),
		ctx:        life,
		fail:       fail,
		finished:   make(chan struct{}),
	}
	a.stored.Store(a.next)
	a.SetStall(cfg.Stall)
	go func() {
		defer nc.RemoveStatusListener(lost)
		defer close(a.finished)
		defer js.CleanupPublisher()
		a.collect(lost)
	}()
	return a, nil
}

// Append publishes m behind everything appended before, waiting for room in
// the window. stored, if not nil, is called with the sequence of the message's
// last part once JetStream has it; calls come in order, from one goroutine,
// and must not block. After an error nothing more is stored; see Err.
//
// A cancelled ctx ends the wait for room; then m was not sent and the appender
// goes on, unless m is in parts of which some are out: then the appender ends.
func (a *Appender) Append(ctx context.Context, m Message, stored func(seq uint64)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	parts := split(m, a.partLimit)
	for i, p := range parts {
		var f func(uint64)
		if i == len(parts)-1 {
			f = stored
		}
		if err := a.publish(ctx, p, f); err != nil {
			if i > 0 {
				a.fail(err)
			}
			return fmt.Errorf("append to stream %s: %w", a.stream, err)
		}
	}
	return nil
}

func (a *Appender) publish(ctx context.Context, m *nats.Msg, stored func(uint64)) error {
	size := min(int64(len(m.Data)), a.window)
	if err := a.acquire(ctx, size); err != nil {
		return err
	}
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx) //nolint:contextcheck // what ended the appender, not the caller
	}
	if a.fence != "" {
		if err := a.publishFenced(ctx, m); err != nil {
			a.fail(err)
			return err
		}
		return a.enqueue(inFlight{seq: a.next, bytes: size, stored: stored})
	}
	// A message that waits in the client for the next connection may be more than that takes.
	if !a.js.Conn().IsConnected() {
		a.fail(ErrDisconnected)
		return ErrDisconnected
	}
	future, err := a.js.PublishMsgAsync(m,
		jetstream.WithExpectLastSequence(a.next),
		jetstream.WithRetryAttempts(0), // a repeat would come out of order
		jetstream.WithStallWait(time.Minute))
	if err != nil {
		err = a.unsent(m, err)
		a.fail(err)
		return err
	}
	a.next++
	return a.enqueue(inFlight{future: future, seq: a.next, bytes: size, stored: stored})
}

// enqueue hands a message that was sent to collect.
func (a *Appender) enqueue(p inFlight) error {
	a.inFlight.Add(1)
	select {
	case a.queue <- p:
	default:
		stop := a.impatient()
		select {
		case a.queue <- p:
		case <-a.ctx.Done():
		}
		stop()
	}
	if a.ctx.Err() != nil {
		a.js.CleanupPublisher() // collect may have done so before this message was sent
		return context.Cause(a.ctx)
	}
	return nil
}

// acquire waits for room in the window, or for the end of ctx or of the appender.
func (a *Appender) acquire(ctx context.Context, size int64) error {
	if a.space.TryAcquire(size) {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	//nolint:contextcheck // whichever of the two lives ends first ends the wait
	defer context.AfterFunc(a.ctx, func() { cancel(context.Cause(a.ctx)) })()
	defer a.impatient()()
	if err := a.space.Acquire(ctx, size); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// SetStall replaces AppenderConfig.Stall for the calls that follow.
func (a *Appender) SetStall(d time.Duration) { a.stall.Store(int64(d)) }

// impatient ends the appender once nothing has been acknowledged for as long as
// a caller may wait, unless stop is called before.
func (a *Appender) impatient() (stop func()) {
	stall := time.Duration(a.stall.Load())
	if stall == 0 {
		return func() {}
	}
	stopped := make(chan struct{})
	go func() {
		t := time.NewTicker(stall)
		defer t.Stop()
		for before := a.stored.Load(); ; {
			select {
			case <-stopped:
				return
			case <-a.ctx.Done():
				return
			case <-t.C:
			}
			now := a.stored.Load()
			if now == before {
				a.fail(fmt.Errorf("%w: %d messages without one acknowledgement in %s; start the servers that hold the stream's copies", ErrStalled, a.InFlight(), stall))
				return
			}
			before = now
		}
	}()
	return func() { close(stopped) }
}

// collect takes the answers in the order of the messages.
func (a *Appender) collect(lost <-chan nats.Status) {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		select {
		case p := <-a.queue:
			if p.future == nil {
				a.noteStored(p)
				continue
			}
			if err := a.answer(p, lost, tick.C); err != nil {
				a.fail(err)
				return
			}
			a.noteStored(p)
		case <-lost:
			a.fail(ErrDisconnected)
			return
		case <-a.ctx.Done():
			return
		}
	}
}

// noteStored notes that a message is stored.
func (a *Appender) noteStored(p inFlight) {
	a.stored.Store(p.seq)
	a.inFlight.Add(-1)
	a.space.Release(p.bytes)
	if p.stored != nil {
		p.stored(p.seq)
	}
}

// unsent turns the error of a message that the connection did not take into
// one that says what it means here: the message is at fault, or else the
// connection, whose errors come from many layers.
func (a *Appender) unsent(m *nats.Msg, err error) error {
	if errors.Is(err, nats.ErrMaxPayload) && m.Size() <= a.partLimit+headerRoom {
		return fmt.Errorf("%w: the NATS server takes less in one message than before: %w", ErrDisconnected, err)
	}
	for _, own := range []error{nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrHeadersNotSupported, jetstream.ErrTooManyStalledMsgs} {
		if errors.Is(err, own) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, err)
}

// refused turns the error of a message in flight into one that says what it
// means here.
func refused(err error) error {
	// nats.go gives the messages in flight up at the same moment at which it tells of the lost connection.
	if errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return topology.Explain(err)
}

// Undivided is the most data of a message that does not travel in parts.
func (a *Appender) Undivided() int { return a.partLimit }

// Parts is the number of parts in which data of a size is stored.
func (a *Appender) Parts(size int) int { return partsOf(size, a.partLimit) }

// InFlight is the number of messages without an answer.
func (a *Appender) InFlight() int { return int(a.inFlight.Load()) }

// Stored is the sequence of the last message that JetStream acknowledged.
func (a *Appender) Stored() uint64 { return a.stored.Load() }

// Done is closed when the appender has ended, by failure or by Close.
func (a *Appender) Done() <-chan struct{} { return a.ctx.Done() }

// Err is nil while the appender works, then what ended it.
func (a *Appender) Err() error {
	if a.ctx.Err() == nil {
		return nil
	}
	return context.Cause(a.ctx)
}

// Flush waits until nothing is in flight. The last call of stored may still be on its way.
func (a *Appender) Flush(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.acquire(ctx, a.window); err != nil {
		return fmt.Errorf("flush stream %s: %w", a.stream, err)
	}
	a.space.Release(a.window)
	return a.Err()
}

// Close ends the appender without waiting for what is in flight; use Flush
// before it for that.
func (a *Appender) Close() {
	a.fail(ErrClosed)
	<-a.finished
	a.mu.Lock() // nobody begins to purge any more
	defer a.mu.Unlock()
	a.purging.Wait()
}

// Header returns a fresh header with one key; more can be set on it.
func Header(key, value string) nats.Header { return nats.Header{key: []string{value}} }

func clone(h nats.Header) nats.Header {
	if h == nil {
		return nats.Header{}
	}
	return maps.Clone(h)
}
