package stream

import (
	"context"
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
	// lastPage is how many subjects are asked for their last message at once; the server refuses more than 1,024.
	lastPage = 500
	// lastPageTime bounds the reading of a page; a busy server has to seek each subject.
	lastPageTime = time.Minute
	// lastBytes is how much comes as one answer.
	lastBytes = 4 << 20
	// lastTries is how often copies that lag are asked before the leader is, one subject after another.
	lastTries = 4
)

// Last calls f with the last message of each of the subjects that has one, as any copy of the stream knows it, in any order. The
// subjects are without wildcards, each named once. An error of f ends it.
func Last(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	return last(ctx, js, streamName, 0, subjects, f)
}

// Newest is Last from copies that have all that the stream's leader had when it was called.
func Newest(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	if len(subjects) == 0 {
		return nil
	}
	st, err := js.Stream(ctx, streamName) // which the leader answers
	if err != nil {
		return err
	}
	return last(ctx, js, streamName, st.CachedInfo().State.LastSeq, subjects, f)
}

// last asks copies that reach to a sequence at least.
func last(ctx context.Context, js jetstream.JetStream, streamName string, least uint64, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	for len(subjects) > 0 {
		page := subjects[:min(lastPage, fitting(js.Conn().MaxPayload(), subjects))]
		subjects = subjects[len(page):]
		if err := lastOfPage(ctx, js, streamName, least, page, f); err != nil {
			return err
		}
	}
	return nil
}

// fitting is how many of the subjects fit into a request, at least one.
func fitting(maxPayload int64, subjects []string) int {
	const around, each = 512, 3 // the rest of the request; quotes and a comma
	room := int(maxPayload) - around
	for i, s := range subjects {
		if room -= len(s) + each; room < 0 {
			return max(1, i)
		}
	}
	return len(subjects)
}

func lastOfPage(ctx context.Context, js jetstream.JetStream, streamName string, least uint64, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	ctx, cancel := context.WithTimeout(ctx, lastPageTime)
	defer cancel()
	for tries, pause := 1, firstPause; len(subjects) > 0; {
		a, err := askLast(ctx, js, streamName, subjects)
		switch {
		case err != nil:
			return err
		case a.upTo < least && a.upTo > 0 && tries < lastTries:
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			tries, pause = tries+1, 2*pause
			continue
		case a.upTo < least: // or there is nothing on these subjects, of which a copy says no more
			return fromLeader(ctx, js, streamName, subjects, f)
		}
		for _, m := range a.found {
			if err := f(m); err != nil {
				return err
			}
		}
		if a.pending == 0 {
			return nil
		}
		subjects = slices.DeleteFunc(slices.Clone(subjects), func(s string) bool {
			return slices.ContainsFunc(a.found, func(m *jetstream.RawStreamMsg) bool { return m.Subject == s })
		})
	}
	return nil
}

// lastAnswer is what one copy says.
type lastAnswer struct {
	found   []*jetstream.RawStreamMsg
	pending uint64 // messages that it has besides, for which there was no room
	upTo    uint64 // its last sequence; 0 if it finds nothing
}

func askLast(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string) (a lastAnswer, err error) {
	err = directGet(ctx, js, streamName, map[string]any{"multi_last": subjects, "max_bytes": lastBytes}, answerTimeout, a.add)
	if errors.Is(err, ErrNoAnswer) {
		err = fmt.Errorf("the last messages of %d subjects: %w", len(subjects), err)
	}
	return a, err
}

// add takes what a server sends, and reports whether nothing follows.
func (a *lastAnswer) add(m *nats.Msg) (ended bool, err error) {
	switch status, reason := statusOf(m), m.Header.Get("Description"); {
	case status == "":
		raw, err := rawMessage(m)
		a.found = append(a.found, raw)
		return false, err
	case status == "204":
		if a.pending, err = strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64); err == nil {
			a.upTo, err = strconv.ParseUint(m.Header.Get("Nats-UpTo-Sequence"), 10, 64)
		}
		if err != nil {
			return true, fmt.Errorf("the server does not say how far its copy goes: %w", err)
		}
		return true, nil
	case status == "404" && len(a.found) == 0 && reason == "No Results":
		return true, nil
	default:
		return true, fmt.Errorf("the server says: %s %s", status, reason)
	}
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
