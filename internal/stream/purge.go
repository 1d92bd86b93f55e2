package stream

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Purge removes a subject's messages below a sequence, all of them with 0, as jetstream.Stream does, but a slice at a time, the oldest
// first: while a server removes messages, nobody's are stored in that stream. It needs 0.5 ms for a MB, or for 1,000 small messages.
//
// A crash, or a ctx that ends, leaves the newer part. Who reads the subject meanwhile may find that, too: messages that belong together
// must say how many they are, or not be referred to any more.
func Purge(ctx context.Context, st jetstream.Stream, subject string, below uint64) error {
	if below > 0 {
		return purge(ctx, st, subject, below, jetstream.WithPurgeSequence(below))
	}
	info, err := st.Info(ctx)
	if err != nil {
		return err
	}
	return purge(ctx, st, subject, info.State.LastSeq+1)
}

// PurgeToLast is Purge of all but a subject's last message.
func PurgeToLast(ctx context.Context, st jetstream.Stream, subject string) error {
	var end uint64
	last, err := st.GetLastMsgForSubject(ctx, subject)
	switch {
	case err == nil:
		end = last.Sequence
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return err
	}
	return purge(ctx, st, subject, end, jetstream.WithPurgeKeep(1))
}

// purge removes what is known to be below end in slices, and then what is left in one, as the options say: a replica that lags may
// have told of less.
func purge(ctx context.Context, st jetstream.Stream, subject string, end uint64, rest ...jetstream.StreamPurgeOpt) error {
	of := jetstream.WithPurgeSubject(subject)
	first, err := st.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
	switch {
	case err == nil:
		for s := newSlicing(first.Sequence, end); s.next < end; {
			to, err := beginning(ctx, st, subject, s.next)
			if err != nil {
				return err
			}
			if to >= end {
				break
			}
			began := time.Now()
			if err := st.Purge(ctx, of, jetstream.WithPurgeSequence(to)); err != nil {
				return err
			}
			s.took(to, time.Since(began))
		}
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return err
	}
	return st.Purge(ctx, append(rest, of)...)
}

const (
	// shortSlice and longSlice are what the server should need for a slice: less is grown, more is cut.
	shortSlice = 2 * time.Millisecond
	longSlice  = 5 * time.Millisecond
	// leastSlice is in sequences. Messages of a segment have 256 KiB.
	leastSlice = 16
	// mostSlices bounds the requests, as on a server that is slow for other reasons.
	mostSlices = 1000
)

// slicing divides what lies between two sequences by how long the server needs.
type slicing struct {
	next        uint64 // the end of the slice
	size, least uint64 // in sequences
}

func newSlicing(first, end uint64) *slicing {
	least := uint64(leastSlice)
	if end > first {
		least = max(least, (end-first)/mostSlices+1)
	}
	return &slicing{next: first + least, size: least, least: least}
}

// took goes on to the next slice behind one that ended at a sequence.
func (s *slicing) took(to uint64, d time.Duration) {
	switch {
	case d < shortSlice:
		s.size *= 2
	case d > longSlice:
		s.size = max(s.size/2, s.least)
	}
	s.next = to + s.size
}

// beginning is where the first message of a subject begins that does so at a sequence or behind it; behind all if there is none. Who reads
// must not meet some parts of one.
func beginning(ctx context.Context, st jetstream.Stream, subject string, seq uint64) (uint64, error) {
	m, err := st.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return math.MaxUint64, nil
	}
	if err != nil {
		return 0, err
	}
	index, count, err := Part(m.Header)
	if err != nil || index == 0 { // what cannot be read is removed as well
		return m.Sequence, nil //nolint:nilerr // said above
	}
	return m.Sequence + uint64(count-index), nil // the next one: parts follow one another
}
