package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/topology"
)

const (
	// batchMessages bounds a batched direct get, which the server answers in
	// one go.
	batchMessages = 256
	// answerTimeout is how long one direct get may take.
	answerTimeout = 5 * time.Second
)

// fetcher reads one partition's stream with direct gets.
type fetcher struct {
	client    *Client
	partition int
	bytes     int // of a batch, about
}

// batch returns the messages of a subject from a sequence on, as many as one
// batch holds. None means that there are none (yet: a replica may be behind).
func (f *fetcher) batch(ctx context.Context, subject string, from uint64) ([]raw, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	messages, err := jetstreamext.GetBatch(ctx, f.client.js, f.client.source.ShapeStream(f.partition), batchMessages,
		jetstreamext.GetBatchSubject(subject), jetstreamext.GetBatchSeq(max(from, 1)), jetstreamext.GetBatchMaxBytes(f.bytes))
	if err != nil {
		return nil, fmt.Errorf("read %s from %d: %w", subject, from, err)
	}
	var got []raw
	var last uint64 // the server numbers a batch's messages by the one before
	for m, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return got, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s from %d: %w", subject, from, err)
		}
		previous, err := number(m.Header, jetstream.LastSequenceHeader)
		if err != nil || previous != last {
			break // one was lost on the way; what came before it is good
		}
		last = m.Sequence
		got = append(got, raw{seq: m.Sequence, header: m.Header, data: m.Data})
	}
	if len(got) == 0 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read %s from %d: %w", subject, from, err)
		}
	}
	return got, nil
}

// newest returns a log's last message; found is false if it has none.
func (f *fetcher) newest(ctx context.Context, subject string) (m raw, h head, found bool, err error) {
	st, err := f.client.stream(ctx, f.partition)
	if err != nil {
		return raw{}, head{}, false, err
	}
	msg, err := st.GetLastMsgForSubject(ctx, subject)
	return logMessage(subject, msg, err)
}

// next returns a log's first message at or behind a sequence.
func (f *fetcher) next(ctx context.Context, subject string, from uint64) (m raw, h head, found bool, err error) {
	st, err := f.client.stream(ctx, f.partition)
	if err != nil {
		return raw{}, head{}, false, err
	}
	msg, err := st.GetMsg(ctx, max(from, 1), jetstream.WithGetMsgSubject(subject))
	return logMessage(subject, msg, err)
}

func logMessage(subject string, msg *jetstream.RawStreamMsg, err error) (raw, head, bool, error) {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return raw{}, head{}, false, nil
	}
	if err != nil {
		return raw{}, head{}, false, fmt.Errorf("read %s: %w", subject, topology.Explain(err))
	}
	tail, err := readTail(msg.Header)
	if err != nil {
		return raw{}, head{}, false, fmt.Errorf("read %s at %d: %w", subject, msg.Sequence, err)
	}
	return raw{seq: msg.Sequence, header: msg.Header, data: msg.Data}, head{seq: msg.Sequence, tail: tail}, true, nil
}
