package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrGap says that messages between the last one read and the next one in
// the stream are gone: they were discarded before they were read.
var ErrGap = errors.New("messages were discarded before they were read")

// Received is a message read from a stream, its parts put together.
type Received struct {
	Subject string
	Header  nats.Header
	Data    []byte    // owned by the receiver
	First   uint64    // stream sequence of its first part
	Seq     uint64    // stream sequence of its last part
	Stored  time.Time // when the server stored it
	Pending uint64    // messages behind it in the stream
	// Consumer is the name of the consumer that delivered it. Another one than
	// before may have been made on another stream under the same name.
	Consumer string
}

// Reader reads a stream unfiltered and in order. It waits at the end for more.
// Not safe for concurrent use.
type Reader struct {
	stream   string
	js       jetstream.JetStream
	consumer jetstream.Consumer
	it       jetstream.MessagesContext
	parts    Assembler
	last     uint64
	first    uint64 // of the message being put together
	begun    bool   // a message's beginning has been read
	jumps    bool   // sequences may jump; see Changes
}

// readAhead is how many bytes a Reader lets the server send in advance with one
// request, of which there are two at most. It must hold the largest message the server takes.
const readAhead = 4 << 20

// readMessages bounds the messages that come in advance. The client allocates a place for each when a reader is
// opened. It must not be what ends a request: the server's word of that needs a place too, and what finds none is dropped
// and read again. No message is smaller than readAhead / readMessages, as its subject, its reply subject and its headers count.
const readMessages = readAhead / 128

// OpenReader starts with the first message that begins at sequence from (at
// least 1) or later: where that is in the middle of a message's parts, as when
// the stream has discarded the ones before, the rest of it is passed over.
// Close it to free its consumer on the server.
func OpenReader(ctx context.Context, js jetstream.JetStream, streamName string, from uint64) (*Reader, error) {
	from = max(from, 1)
	consumer, err := js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   from,
	})
	if err != nil {
		return nil, fmt.Errorf("read stream %s from %d: %w", streamName, from, err)
	}
	it, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(readMessages, readAhead))
	if err != nil {
		return nil, fmt.Errorf("read stream %s from %d: %w", streamName, from, err)
	}
	return &Reader{stream: streamName, js: js, consumer: consumer, it: it, last: from - 1}, nil
}

// Next waits for the next message. It returns ErrGap when the stream has
// discarded messages that should have come next, and ctx's error when ctx ends
// first; the reader can be used again after that one only.
func (r *Reader) Next(ctx context.Context) (Received, error) {
	for {
		m, err := r.it.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				return Received{}, context.Cause(ctx)
			}
			return Received{}, fmt.Errorf("read stream %s after %d: %w", r.stream, r.last, err)
		}
		md, err := m.Metadata()
		if err != nil {
			return Received{}, fmt.Errorf("read stream %s after %d: %w", r.stream, r.last, err)
		}
		seq := md.Sequence.Stream
		if seq <= r.last {
			continue // the ordered consumer was made anew and repeats
		}
		if seq != r.last+1 && !r.jumps {
			return Received{}, fmt.Errorf("read stream %s: %w (wanted %d, got %d)", r.stream, ErrGap, r.last+1, seq)
		}
		r.last = seq
		if _, fence := Fence(m.Headers()); fence {
			continue
		}
		if i, _, err := Part(m.Headers()); err == nil && i == 0 {
			r.first, r.begun = seq, true // an unfinished set before it is dropped
		} else if err == nil && !r.begun {
			continue
		}
		data, ok, err := r.parts.Add(m.Subject(), m.Headers(), m.Data())
		if err != nil {
			return Received{}, fmt.Errorf("read stream %s at %d: %w", r.stream, seq, err)
		}
		if !ok {
			continue
		}
		return Received{
			Subject: m.Subject(), Header: m.Headers(), Data: data, First: r.first, Seq: seq,
			Stored: md.Timestamp, Pending: md.NumPending, Consumer: md.Consumer,
		}, nil
	}
}

// closeWait bounds the farewell to the server in Close.
const closeWait = time.Second

// Close ends the reading and frees the consumer. If the server cannot be
// reached, it frees the consumer itself after five minutes.
func (r *Reader) Close() {
	r.it.Stop()
	info := r.consumer.CachedInfo()
	if info == nil || !r.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	//nolint:errcheck // see above; a second Close gets an error here, too
	r.js.DeleteConsumer(ctx, r.stream, info.Name)
}
