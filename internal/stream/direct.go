package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// Direct gets with several answers (ADR-31). The client library asks for them on an inbox that the connection's own
// subscription for answers matches as well, so the server would send each message twice.

// batchTime bounds a batch, however slowly it comes.
const batchTime = time.Minute

// Ask is what a batched direct get asks for.
type Ask struct {
	Subject  string
	From     uint64        // the sequence from which on
	Messages int           // at most
	Bytes    int           // after which no further message is sent
	Silence  time.Duration // how long nothing may come
}

// Batch appends the messages that a batched direct get brings to got. None come when there are none. It fails with
// ErrNoAnswer when all of it was lost, and with context.DeadlineExceeded as well when nothing comes; of a batch that stops to
// come, or of which a message was lost, it returns what has come in sequence. A slow connection is no silence.
func Batch(ctx context.Context, js jetstream.JetStream, streamName string, ask Ask, got []*jetstream.RawStreamMsg) ([]*jetstream.RawStreamMsg, error) {
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	body := map[string]any{"batch": ask.Messages, "max_bytes": ask.Bytes, "seq": max(ask.From, 1), "next_by_subj": ask.Subject}
	n := len(got)
	last := "0" // the server numbers a batch's messages by the one before
	err := directGet(ctx, js, streamName, body, ask.Silence, func(m *nats.Msg) (bool, error) {
		switch status := statusOf(m); {
		case status == "404": // there is none
			return true, nil
		case status == "204" && len(got) > n: // that is all
			return true, nil
		case status == "204", len(m.Header) == 0: // the end of what has not come, or nothing of a server
			return true, ErrNoAnswer
		case status != "":
			return true, fmt.Errorf("the server says: %s %s", status, m.Header.Get("Description"))
		case m.Header.Get("Nats-Num-Pending") == "":
			return true, jetstreamext.ErrBatchUnsupported
		case m.Header.Get(jetstream.LastSequenceHeader) != last: // one was lost on the way
			return true, ErrNoAnswer
		}
		raw, err := rawMessage(m)
		if err != nil {
			return true, err
		}
		last = m.Header.Get(jetstream.SequenceHeader)
		got = append(got, raw)
		return false, nil
	})
	if err != nil && (len(got) == n || outer.Err() != nil) {
		return got, fmt.Errorf("read %s from %d: %w", ask.Subject, ask.From, err)
	}
	return got, nil
}

// statusOf is what a server says instead of a message, "" with a message, whatever headers that was stored with.
func statusOf(m *nats.Msg) string {
	if m.Header.Get(jetstream.SequenceHeader) != "" {
		return ""
	}
	return m.Header.Get("Status")
}

// directGet sends a direct get and hands its answers to each until that says that nothing follows.
func directGet(ctx context.Context, js jetstream.JetStream, streamName string, ask any, silent time.Duration, each func(*nats.Msg) (ended bool, err error)) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	nc := js.Conn()
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = answers.Unsubscribe() }() // the connection may be closed
	if err := nc.PublishRequest(apiPrefix(js.Options())+"DIRECT.GET."+streamName, inbox, body); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(silent, func() { cancel(errors.Join(context.DeadlineExceeded, ErrNoAnswer)) })
	defer silence.Stop()
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return cmp.Or(context.Cause(ctx), err) // closed, or nobody there
		}
		silence.Reset(silent)
		if ended, err := each(m); ended || err != nil {
			return err
		}
	}
}

// rawMessage is a stored message as a direct get delivers it.
func rawMessage(m *nats.Msg) (*jetstream.RawStreamMsg, error) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", jetstream.SequenceHeader, err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", jetstream.TimeStampHeaer, err)
	}
	return &jetstream.RawStreamMsg{Subject: m.Header.Get(jetstream.SubjectHeader), Sequence: seq, Header: m.Header, Data: m.Data, Time: at}, nil
}
