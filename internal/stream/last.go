package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

const (
	// lastPage is how many subjects are asked for their last message at once; the server refuses more than 1,024.
	lastPage = 500
	// lastPageTime bounds the reading of a page; a busy server has to seek each subject.
	lastPageTime = time.Minute
)

// Last calls f with the last message of each of the subjects that has one, in any order. The subjects are without
// wildcards, each named once. An error of f ends it.
func Last(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	for len(subjects) > 0 {
		page := subjects[:min(lastPage, fitting(js.Conn().MaxPayload(), subjects))]
		subjects = subjects[len(page):]
		if err := readLast(ctx, js, streamName, page, f); err != nil {
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

// readLast reads a page. An answer may end early without saying so: the server stops at a number of bytes, the client
// library after some seconds. A subject taken for empty would be written again, so those not yet seen are
// asked for until the server says that they have nothing.
func readLast(ctx context.Context, js jetstream.JetStream, streamName string, subjects []string, f func(*jetstream.RawStreamMsg) error) error {
	ctx, cancel := context.WithTimeout(ctx, lastPageTime)
	defer cancel()
	for len(subjects) > 0 {
		answer, err := jetstreamext.GetLastMsgsFor(ctx, js, streamName, subjects)
		if err != nil {
			return err
		}
		seen, none := map[string]bool{}, false
		for m, err := range answer {
			if errors.Is(err, jetstreamext.ErrNoMessages) {
				none = true
				break
			}
			if err != nil {
				return err
			}
			if err := f(m); err != nil {
				return err
			}
			seen[m.Subject] = true
		}
		if len(seen) == 0 {
			if none {
				return nil
			}
			return fmt.Errorf("the server did not answer for %d subjects", len(subjects))
		}
		var rest []string
		for _, subject := range subjects {
			if !seen[subject] {
				rest = append(rest, subject)
			}
		}
		subjects = rest
	}
	return nil
}
