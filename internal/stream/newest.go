package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Any copy of a stream answers direct gets, also one that lags: a server that was frozen, or is coming back. Whoever goes on
// with what another process has written must not take an older end for the end. The answer to a request for the last
// messages of several subjects ends with the sequence up to which the copy has looked (ADR-31), which the client library
// does not tell, so it is read here.

const (
	// newestBytes is how much comes as one answer.
	newestBytes = 4 << 20
	// newestTries is how often copies are asked before the leader is, one subject after another.
	newestTries = 4
	// headerUpTo is, at the end of an answer, the last sequence of the copy that gave it.
	headerUpTo = "Nats-UpTo-Sequence"
	// headerStatus and headerReason are of messages of the server's own.
	headerStatus, headerReason = "Status", "Description"
)

// Newest is Last from copies that have all that the stream's leader had when it was called.
func Newest(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	if len(subjects) == 0 {
		return nil
	}
	st, err := js.Stream(ctx, streamName) // which the leader answers
	if err != nil {
		return err
	}
	least := st.CachedInfo().State.LastSeq
	for len(subjects) > 0 {
		page := subjects[:min(lastPage, fitting(js.Conn().MaxPayload(), subjects))]
		subjects = subjects[len(page):]
		if err := newestPage(ctx, js, streamName, least, page, f); err != nil {
			return err
		}
	}
	return nil
}

func newestPage(ctx context.Context, js jetstream.JetStream, streamName string, least uint64, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	ctx, cancel := context.WithTimeout(ctx, lastPageTime)
	defer cancel()
	for tries, pause := 1, firstPause; len(subjects) > 0; tries++ {
		found, upTo, err := askNewest(ctx, js, streamName, subjects)
		switch {
		case err != nil:
			return err
		case upTo < least && upTo > 0 && tries < newestTries:
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			pause *= 2
			continue
		case upTo < least: // or there is nothing on these subjects, of which a copy says no more
			return fromLeader(ctx, js, streamName, subjects, f)
		case len(found) == 0:
			return nil
		}
		for _, m := range found {
			if err := f(m); err != nil {
				return err
			}
		}
		subjects = slices.DeleteFunc(slices.Clone(subjects), func(s string) bool {
			return slices.ContainsFunc(found, func(m *jetstream.RawStreamMsg) bool { return m.Subject == s })
		})
	}
	return nil
}

// askNewest asks once. upTo is the last sequence of the copy that answers, 0 if it finds nothing on these subjects. What is found may be only a
// part of what there is.
func askNewest(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string) (found []*jetstream.RawStreamMsg, upTo uint64, err error) {
	body, err := json.Marshal(map[string]any{"multi_last": subjects, "max_bytes": newestBytes})
	if err != nil {
		return nil, 0, err
	}
	nc := js.Conn()
	answers := make(chan *nats.Msg, len(subjects)+1)
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be closed
	if err := nc.PublishRequest(apiPrefix(js.Options())+"DIRECT.GET."+streamName, inbox, body); err != nil {
		return nil, 0, err
	}
	silence := time.NewTimer(answerTimeout)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case <-silence.C:
			return nil, 0, fmt.Errorf("the server did not answer for %d subjects", len(subjects))
		case m := <-answers:
			silence.Reset(answerTimeout)
			switch status := m.Header.Get(headerStatus); {
			case status == "":
				raw, err := rawMessage(m)
				if err != nil {
					return nil, 0, err
				}
				found = append(found, raw)
			case status == "204":
				upTo, err = strconv.ParseUint(m.Header.Get(headerUpTo), 10, 64)
				if err != nil {
					return nil, 0, fmt.Errorf("the server does not say how far its copy goes: %w", err)
				}
				return found, upTo, nil
			case status == "404" && len(found) == 0 && m.Header.Get(headerReason) == "No Results":
				return nil, 0, nil
			case status == "503":
				return nil, 0, nats.ErrNoResponders
			default:
				return nil, 0, fmt.Errorf("the server says: %s %s", status, m.Header.Get(headerReason))
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

func fromLeader(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	for _, subject := range subjects {
		m, err := LastFromLeader(ctx, js, streamName, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err == nil {
			err = f(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// LastFromLeader reads the last message of a subject from the stream's leader, whatever other copies there are. It
// returns jetstream.ErrMsgNotFound if there is none.
func LastFromLeader(ctx context.Context, js jetstream.JetStream, streamName, subject string) (*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := js.Conn().RequestWithContext(ctx, apiPrefix(js.Options())+"STREAM.MSG.GET."+streamName, body)
	if err != nil {
		return nil, err
	}
	var got struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Headers []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &got); err != nil {
		return nil, fmt.Errorf("read the answer for the last message of %s: %w", subject, err)
	}
	if got.Error != nil {
		if got.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, jetstream.ErrMsgNotFound
		}
		if got.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound {
			return nil, jetstream.ErrStreamNotFound
		}
		return nil, got.Error
	}
	m := &jetstream.RawStreamMsg{Subject: got.Message.Subject, Sequence: got.Message.Seq, Data: got.Message.Data, Time: got.Message.Time}
	if len(got.Message.Headers) > 0 {
		if m.Header, err = nats.DecodeHeadersMsg(got.Message.Headers); err != nil {
			return nil, fmt.Errorf("message %d: %w", m.Sequence, err)
		}
	}
	return m, nil
}
