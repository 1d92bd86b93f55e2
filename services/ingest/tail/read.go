package tail

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Read finds where the change log ends, reading backwards from its message
// number last. It reads the last group of the last transaction and one message
// more. The zero tail says that there is no message, and where the slot stands
// decides: they may have been discarded by age, or the machine lost power before
// they were on disk. A log that begins again there repeats nothing that is in it,
// and readers pass over what they had before.
func Read(ctx context.Context, log jetstream.Stream, source topology.Source, last uint64) (*Tail, error) {
	r := NewReader(source)
	for seq := last; seq > 0; seq-- {
		m, err := log.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			if seq, err = lastUpTo(ctx, log, seq); seq == 0 && err == nil {
				break
			}
			if err == nil {
				m, err = log.GetMsg(ctx, seq)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("read the end of the change log, message %d: %w", seq, err)
		}
		if count, fence := stream.Fence(m.Header); fence {
			seq -= min(count, seq) - 1 // the loop takes the last one
			continue
		}
		done, err := r.Add(Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
	}
	return r.Tail(), nil
}

// lastUpTo returns the sequence of the last message up to a sequence that is not
// there; 0 if there is none. Messages before it were discarded, or the server has left out numbers
// after it lost its unsynced tail, or the replica asked does not have them yet: then what
// it said of the first of them is an error.
func lastUpTo(ctx context.Context, log jetstream.Stream, seq uint64) (found uint64, err error) {
	info, err := log.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the end of the change log: %w", err)
	}
	if seq < info.State.FirstSeq || info.State.Msgs == 0 {
		return 0, nil
	}
	for low, high := info.State.FirstSeq, seq; low <= high; {
		mid := low + (high-low)/2
		m, err := log.GetMsg(ctx, mid, jetstream.WithGetMsgSubject(">")) // the first one from there on
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && m.Sequence > seq:
			high = mid - 1
		case err != nil:
			return 0, fmt.Errorf("read the end of the change log, message %d or later: %w", mid, err)
		default:
			found, low = m.Sequence, m.Sequence+1
		}
	}
	if found == 0 {
		return 0, fmt.Errorf("read the end of the change log: message %d is not there, and none before it: %w", seq, jetstream.ErrMsgNotFound)
	}
	return found, nil
}
