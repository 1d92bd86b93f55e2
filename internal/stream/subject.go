package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// batchMessages and batchBytes bound a batched direct get, which the server
	// answers in one go.
	batchMessages = 256
	batchBytes    = 4 << 20
	// answerTimeout is how long one direct get may take.
	answerTimeout = 10 * time.Second
)

// ErrNoAnswer says that a direct get brought neither messages nor the word that there are none.
var ErrNoAnswer = errors.New("the server did not answer, or its answer was lost")

// SubjectReader reads one subject of a stream, in order, with batched direct
// gets: the server keeps nothing for it. Not safe for concurrent use.
type SubjectReader struct {
	js      jetstream.JetStream
	stream  string
	subject string

	next  uint64 // where the next batch begins
	batch []*jetstream.RawStreamMsg
	parts Assembler
	first uint64 // of the message being put together
	begun bool   // a message's beginning has been read
}

// NewSubjectReader returns a reader of the messages that begin at a sequence or
// later; the rest of one that began before is passed over. It sends nothing.
func NewSubjectReader(js jetstream.JetStream, streamName, subject string, from uint64) *SubjectReader {
	return &SubjectReader{js: js, stream: streamName, subject: subject, next: max(from, 1)}
}

// Next returns the next message, its parts put together. ok is false when there
// is none yet, or only some of its parts; Next may be called again later.
// Received.Pending is not set.
func (r *SubjectReader) Next(ctx context.Context) (m Received, ok bool, err error) {
	for {
		if len(r.batch) == 0 {
			if err := r.fill(ctx); err != nil || len(r.batch) == 0 {
				return Received{}, false, err
			}
		}
		raw := r.batch[0]
		r.batch[0], r.batch = nil, r.batch[1:]
		index, _, err := Part(raw.Header)
		switch {
		case err != nil:
			return Received{}, false, fmt.Errorf("read %s at %d: %w", r.subject, raw.Sequence, err)
		case index == 0:
			r.first, r.begun = raw.Sequence, true
		case !r.begun:
			continue
		}
		data, whole, err := r.parts.Add(r.subject, raw.Header, raw.Data)
		if err != nil {
			return Received{}, false, fmt.Errorf("read %s at %d: %w", r.subject, raw.Sequence, err)
		}
		if whole {
			return Received{Subject: raw.Subject, Header: raw.Header, Data: data, First: r.first, Seq: raw.Sequence, Stored: raw.Time}, true, nil
		}
	}
}

// Through is the sequence up to which there was nothing on the subject but what was read.
func (r *SubjectReader) Through() uint64 { return r.next - 1 }

// fill gets the next batch; it stays empty when there is nothing.
func (r *SubjectReader) fill(ctx context.Context) (err error) {
	r.batch, err = GetBatch(ctx, r.js, r.stream, r.subject, r.next, r.batch[:0])
	if n := len(r.batch); n > 0 {
		r.next = r.batch[n-1].Sequence + 1
	}
	return err
}

// GetBatch appends the messages of a subject from a sequence on to got, as many as one batched direct get
// brings. None come when there are none. It fails with ErrNoAnswer after 10 seconds without any.
func GetBatch(ctx context.Context, js jetstream.JetStream, streamName, subject string, from uint64, got []*jetstream.RawStreamMsg) ([]*jetstream.RawStreamMsg, error) {
	return Batch(ctx, js, streamName, Ask{Subject: subject, From: from, Messages: batchMessages, Bytes: batchBytes, Silence: answerTimeout}, got)
}

// SeekSubject returns the sequence at which the first message of a subject
// begins whose header is beyond a place, and one past the subject's last message
// if none is. beyond must be false for a number of the subject's messages and true for
// all others behind them. It is a binary search over the stream's sequences.
func SeekSubject(ctx context.Context, st jetstream.Stream, subject string, beyond func(nats.Header) (bool, error)) (uint64, error) {
	newest, err := st.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("seek in %s: %w", subject, err)
	}
	if yes, err := beyond(newest.Header); err != nil || !yes {
		return newest.Sequence + 1, err
	}
	// Every message below lo is not beyond; the first at or behind hi is.
	lo, hi := uint64(1), newest.Sequence
	for lo < hi {
		mid := lo + (hi-lo)/2
		m, err := st.GetMsg(ctx, mid, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return 0, fmt.Errorf("seek in %s: get message %d: %w", subject, mid, err)
		}
		switch yes, err := beyond(m.Header); {
		case err != nil:
			return 0, fmt.Errorf("seek in %s: message %d: %w", subject, m.Sequence, err)
		case yes:
			hi = mid
		default:
			lo = m.Sequence + 1
		}
	}
	m, err := st.GetMsg(ctx, lo, jetstream.WithGetMsgSubject(subject))
	if err != nil {
		return 0, fmt.Errorf("seek in %s: get message %d: %w", subject, lo, err)
	}
	// Parts have consecutive sequences: a stream has one writer, which finishes
	// one message before it starts the next.
	index, _, err := Part(m.Header)
	return m.Sequence - uint64(index), err
}
