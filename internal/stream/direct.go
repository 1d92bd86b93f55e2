package stream

import (
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
// ErrNoAnswer, and with context.DeadlineExceeded, when nothing comes; of a batch that stops to come it returns what has come,
// as of one of which a message was lost. A slow connection is no silence.
func Batch(ctx context.Context, js jetstream.JetStream, streamName string, ask Ask, got []*jetstream.RawStreamMsg) ([]*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	body := map[string]any{"batch": ask.Messages, "max_bytes": ask.Bytes, "seq": max(ask.From, 1), "next_by_subj": ask.Subject}
	n := len(got)
	last := "0" // the server numbers a batch's messages by the one before
	err := directGet(ctx, js, streamName, body, ask.Messages+1, ask.Silence, func(m *nats.Msg) (bool, error) {
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204", "404": // that is all; there is none
			return true, nil
		default:
			return true, fmt.Errorf("the server says: %s %s", status, m.Header.Get("Description"))
		}
		if m.Header.Get("Nats-Num-Pending") == "" {
			return true, jetstreamext.ErrBatchUnsupported
		}
		if m.Header.Get(jetstream.LastSequenceHeader) != last { // one was lost on the way; what came before it is good
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
	if err != nil && (len(got) == n || ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded)) {
		return got, fmt.Errorf("read %s from %d: %w", ask.Subject, ask.From, err)
	}
	return got, nil
}

// directGet sends a direct get and hands its answers, at most room of them, to each until that says that nothing follows.
func directGet(ctx context.Context, js jetstream.JetStream, streamName string, ask any, room int, silent time.Duration, each func(*nats.Msg) (ended bool, err error)) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	nc := js.Conn()
	answers := make(chan *nats.Msg, room)
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed
	if err := nc.PublishRequest(apiPrefix(js.Options())+"DIRECT.GET."+streamName, inbox, body); err != nil {
		return err
	}
	silence := time.NewTimer(silent)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-silence.C:
			return errors.Join(context.DeadlineExceeded, ErrNoAnswer)
		case m := <-answers:
			silence.Reset(silent)
			if m.Header.Get("Status") == "503" {
				return nats.ErrNoResponders
			}
			if ended, err := each(m); ended || err != nil {
				return err
			}
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
