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
}

// Reader reads a stream in order: all of it, or what is on some subjects. It
// waits at the end for more. Not safe for concurrent use.
type Reader struct {
	in    *ordered
	all   bool // no subject is left out, so sequences have no gaps
	parts Assembler
	last  uint64
	first uint64 // of the message being put together
	begun bool   // a message's beginning has been read
	jumps bool   // sequences may jump; see Changes
}

// OpenReader starts with the first message that begins at sequence from (at
// least 1) or later: where that is in the middle of a message's parts, as when
// the stream has discarded the ones before, the rest of it is passed over.
// Close it to free its consumer on the server.
func OpenReader(ctx context.Context, js jetstream.JetStream, streamName string, from uint64) (*Reader, error) {
	return openReader(ctx, js, streamName, from, ReadAhead)
}

func openReader(ctx context.Context, js jetstream.JetStream, streamName string, from uint64, ahead int) (*Reader, error) {
	from = max(from, 1)
	in, err := openOrdered(ctx, js, streamName, "", from, ahead)
	if err != nil {
		return nil, fmt.Errorf("read stream %s from %d: %w", streamName, from, err)
	}
	return &Reader{in: in, all: true, last: from - 1}, nil
}

// OpenSubjectsReader is OpenReader for the messages on subjects that match a
// filter. What is discarded before it was read is not noticed.
func OpenSubjectsReader(ctx context.Context, js jetstream.JetStream, streamName, filter string, from uint64) (*Reader, error) {
	in, err := openOrdered(ctx, js, streamName, filter, max(from, 1), readAheadOnSubjects)
	if err != nil {
		return nil, fmt.Errorf("read %s of stream %s: %w", filter, streamName, err)
	}
	return &Reader{in: in}, nil
}

// Epoch is the identity of the stream that is read.
func (r *Reader) Epoch() Epoch { return r.in.guard.epoch }

// Next waits for the next message. It returns ErrGap when the stream has
// discarded messages that should have come next, ErrReplaced when the stream is
// not the one that was opened any more, and ctx's error when ctx ends first; the
// reader can be used again after that one only.
func (r *Reader) Next(ctx context.Context) (Received, error) {
	for {
		m, md, err := r.in.next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return Received{}, err
			}
			return Received{}, fmt.Errorf("read stream %s after %d: %w", r.in.stream, r.last, err)
		}
		seq := md.Sequence.Stream
		if r.all && !r.jumps && seq != r.last+1 {
			return Received{}, fmt.Errorf("read stream %s: %w (wanted %d, got %d)", r.in.stream, ErrGap, r.last+1, seq)
		}
		r.last = seq
		if _, fence := Fence(m.Header); fence {
			continue
		}
		if i, _, err := Part(m.Header); err == nil && i == 0 {
			r.first, r.begun = seq, true // an unfinished set before it is dropped
		} else if err == nil && !r.begun {
			continue
		}
		data, ok, err := r.parts.Add(m.Subject, m.Header, m.Data)
		if err != nil {
			return Received{}, fmt.Errorf("read stream %s at %d: %w", r.in.stream, seq, err)
		}
		if !ok {
			continue
		}
		return Received{
			Subject: m.Subject, Header: m.Header, Data: data, First: r.first, Seq: seq,
			Stored: md.Timestamp, Pending: md.NumPending,
		}, nil
	}
}

// Close ends the reading and frees the consumer. If the server cannot be
// reached, it frees the consumer itself after five minutes.
func (r *Reader) Close() { r.in.close(context.Background()) }
