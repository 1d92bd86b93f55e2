package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ordered reads the messages of a stream in order, all or those that match a
// filter, through a consumer that lives in the server's memory. Whatever happens to
// that, as when the server starts again, another one goes on behind the last
// message, if the stream is still the same one and still has that message.
// Not safe for concurrent use.
type ordered struct {
	js     jetstream.JetStream
	stream string
	filter string
	window int
	guard  *sentry

	consumer  string // its name
	pull      *puller
	delivered uint64        // by the consumer
	opened    time.Time     // the consumer
	barren    time.Time     // when a consumer ended that had delivered nothing, and none has since
	pause     time.Duration // behind the next such one

	last   uint64    // sequence of the last message that was taken, or the one before the beginning
	stored time.Time // when it was stored; zero before there is one
	again  bool      // the consumer begins with it, to show that it is still there
	closed bool
}

const (
	// inactiveAfter is when the server drops the consumer of a reader that does not ask.
	inactiveAfter = 5 * time.Minute
	// closeWait bounds the farewell to the server.
	closeWait = time.Second
	// firstPause and lastPause are between attempts to go on.
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

func openOrdered(ctx context.Context, js jetstream.JetStream, streamName, filter string, from uint64, window int) (*ordered, error) {
	o := &ordered{js: js, stream: streamName, filter: filter, window: window, last: from - 1}
	if err := o.open(ctx, answerTimeout); err != nil {
		return nil, err
	}
	var err error
	if o.guard, err = stand(ctx, js, streamName); err != nil {
		o.close(ctx)
		return nil, err
	}
	return o, nil
}

// open makes a consumer and begins to pull from it.
func (o *ordered) open(ctx context.Context, timeout time.Duration) error {
	cfg := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: o.last + 1, FilterSubject: o.filter,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: inactiveAfter,
	}
	o.again = !o.stored.IsZero()
	if o.again {
		cfg.OptStartSeq = o.last
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := o.js.CreateConsumer(ctx, o.stream, cfg)
	if err != nil {
		return err
	}
	o.consumer, o.delivered, o.opened = c.CachedInfo().Name, 0, time.Now()
	most := c.CachedInfo().Config.MaxRequestBatch // the server may limit it for all consumers
	o.pull, err = newPuller(o.js, o.stream, o.consumer, o.window, most, pullExpiry)
	return err
}

// next waits for the next message. It returns ErrReplaced when the stream is
// another one, and ctx's cause when ctx ends; most other trouble it waits out.
func (o *ordered) next(ctx context.Context) (*nats.Msg, *nats.MsgMetadata, error) {
	for {
		if o.closed {
			return nil, nil, jetstream.ErrMsgIteratorClosed
		}
		if o.pull == nil { // ctx ended while it was between two consumers
			if err := o.reopen(ctx); err != nil {
				return nil, nil, err
			}
		}
		m, err := o.pull.take(ctx, lookEvery)
		if ctx.Err() != nil && m == nil {
			return nil, nil, context.Cause(ctx)
		}
		if err == nil && m == nil {
			err = o.guard.look(ctx, o.last)
			if errors.Is(err, ErrReplaced) {
				return nil, nil, err
			}
			continue
		}
		var md *nats.MsgMetadata
		if err == nil {
			md, err = o.accept(m)
		}
		switch {
		case errors.Is(err, ErrReplaced):
			return nil, nil, err
		case err != nil:
			o.leave(ctx)
			if err := o.rest(ctx, err); err != nil {
				return nil, nil, err
			}
		case md != nil:
			return m, md, nil
		}
	}
}

// rest pauses after a consumer that has delivered nothing, longer each time: the next one may fare the same. A refusal
// that lasts is an error.
func (o *ordered) rest(ctx context.Context, err error) error {
	if o.delivered > 0 || time.Since(o.opened) > goneAfter { // it worked
		o.barren = time.Time{}
		return nil
	}
	if o.barren.IsZero() {
		o.barren, o.pause = time.Now(), firstPause
	}
	if errors.Is(err, errRefused) && time.Since(o.barren) > goneAfter {
		return err
	}
	timer := time.NewTimer(o.pause)
	defer timer.Stop()
	o.pause = min(2*o.pause, lastPause)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var (
	// errLost says that a delivery did not arrive.
	errLost = errors.New("a delivery was lost")
	// errBehind says that a consumer began before the message that was read last: the stream did not reach to that when it
	// was made. It has lost its end, or its leader does not know all yet; the next consumer, or the sentry, tells which.
	errBehind = errors.New("a delivery of what was read before")
)

// accept takes note of a message. Without metadata it is the one that was read last.
func (o *ordered) accept(m *nats.Msg) (*nats.MsgMetadata, error) {
	md, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	if md.Sequence.Consumer != o.delivered+1 {
		return nil, errLost
	}
	o.delivered++
	if o.again && md.Sequence.Stream == o.last {
		o.again = false
		if !md.Timestamp.Equal(o.stored) {
			return nil, fmt.Errorf("%w (message %d was stored %s, now %s)", ErrReplaced, o.last,
				o.stored.UTC().Format(time.RFC3339Nano), md.Timestamp.UTC().Format(time.RFC3339Nano))
		}
		return nil, nil
	}
	if !o.stored.IsZero() && md.Sequence.Stream <= o.last {
		return nil, errBehind
	}
	o.again = false
	o.last, o.stored = md.Sequence.Stream, md.Timestamp
	return md, nil
}

// reopen goes on with another consumer, as soon as that is possible.
func (o *ordered) reopen(ctx context.Context) error {
	began, timeout := time.Now(), shortAnswer
	for pause := firstPause; ; pause, timeout = min(2*pause, lastPause), min(2*timeout, answerTimeout) {
		// The consumer first: it does not outlive the stream that is then looked at.
		err := o.open(ctx, timeout)
		if err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			err = o.guard.look(ctx, o.last)
		}
		if err == nil {
			return nil
		}
		o.leave(ctx)
		if errors.Is(err, ErrReplaced) || o.js.Conn().IsClosed() {
			return err
		}
		if _, refused := errors.AsType[*jetstream.APIError](err); refused && time.Since(began) > goneAfter {
			return err // somebody has to hear of it
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// leave gives the consumer back, if there is one, also when ctx has ended.
func (o *ordered) leave(ctx context.Context) {
	if o.pull != nil {
		o.pull.stop()
		o.pull = nil
	}
	if o.consumer == "" || !o.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer cancel()
	_ = o.js.DeleteConsumer(ctx, o.stream, o.consumer) // the server drops it later
	o.consumer = ""
}

func (o *ordered) close(ctx context.Context) {
	o.closed = true
	o.leave(ctx)
}
