package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Delivery is a message that a durable consumer delivers, or a part of one.
type Delivery struct {
	Subject string
	Header  nats.Header
	Data    []byte
	Seq     uint64 // in the stream
	Count   uint64 // how often it was delivered
	Pending uint64 // messages behind it

	nc    *nats.Conn
	reply string
}

// Ack acknowledges the message, and with AckAll all before it. It does not wait
// for the server.
func (d *Delivery) Ack() error { return d.nc.Publish(d.reply, []byte("+ACK")) }

// Durable reads what a durable consumer delivers, whole or in parts. It
// notices when a delivery was lost and when the stream is not the one it was. Not safe for concurrent use.
type Durable struct {
	stream string
	guard  *sentry
	pull   *puller
	last   uint64 // number of the last delivery
	seq    uint64 // of the last message
}

// OpenDurable begins to read through a durable that nobody else reads and that
// delivers from the beginning of its count. window is how many bytes may come in
// advance, and expiry how long a request for them stands after its process has died.
func OpenDurable(ctx context.Context, js jetstream.JetStream, streamName, durable string, window int, expiry time.Duration) (*Durable, error) {
	pull, err := newPuller(js, streamName, durable, window, 0, expiry)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", streamName, err)
	}
	// Behind the first request: the durable does not outlive the stream that is then looked at.
	guard, err := stand(ctx, js, streamName)
	if err != nil {
		pull.stop()
		return nil, fmt.Errorf("read stream %s: %w", streamName, err)
	}
	return &Durable{stream: streamName, guard: guard, pull: pull}, nil
}

// Next waits for the next message. It returns ErrReplaced when the stream is
// another one, and ctx's error when ctx ends first. It cannot be used after any other error.
func (d *Durable) Next(ctx context.Context) (*Delivery, error) {
	for {
		m, err := d.pull.take(ctx, lookEvery)
		switch {
		case ctx.Err() != nil && m == nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, fmt.Errorf("read stream %s: %w", d.stream, err)
		case m == nil:
			if err := d.guard.look(ctx, d.seq); errors.Is(err, ErrReplaced) {
				return nil, fmt.Errorf("read stream %s: %w", d.stream, err)
			}
			continue
		}
		md, err := m.Metadata()
		if err == nil && md.Sequence.Consumer != d.last+1 {
			err = fmt.Errorf("%w, or somebody else reads the durable", errLost)
		}
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", d.stream, err)
		}
		d.last, d.seq = md.Sequence.Consumer, md.Sequence.Stream
		return &Delivery{
			Subject: m.Subject, Header: m.Header, Data: m.Data, Seq: md.Sequence.Stream, Count: md.NumDelivered, Pending: md.NumPending,
			nc: d.pull.nc, reply: m.Reply,
		}, nil
	}
}

// Close ends the reading. The durable stays.
func (d *Durable) Close() { d.pull.stop() }
