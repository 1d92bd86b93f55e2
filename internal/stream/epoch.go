package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrReplaced says that the stream is not the one that was read: it was deleted
// and made again under its name, or restored from a backup, or the server has
// lost what was read already. Sequences of before mean nothing in it. The
// remedy is to find the place again by what the messages say.
var ErrReplaced = errors.New("the stream is not the one that was read: it was deleted, made again, or restored to an earlier state")

// Epoch is the identity of one incarnation of a stream. Sequences can be compared
// within an epoch only. It is a plain number, so it can be stored. A stream
// that is restored from a backup keeps its epoch; readers notice that by what is
// stored at the place they have read to.
type Epoch int64

// EpochOf is the epoch of the stream that was described.
func EpochOf(info *jetstream.StreamInfo) Epoch { return Epoch(info.Created.UnixNano()) }

// IsZero reports whether no stream is meant.
func (e Epoch) IsZero() bool { return e == 0 }

// String is when the stream was made.
func (e Epoch) String() string {
	if e == 0 {
		return "none"
	}
	return time.Unix(0, int64(e)).UTC().Format(time.RFC3339Nano)
}

const (
	// lookEvery is how often an idle reader looks whether its stream is still there.
	lookEvery = 2 * time.Second
	// goneAfter is how long a stream, or its end, must be missing. A cluster in trouble denies what it has.
	goneAfter = 5 * time.Second
	// shortAnswer is how long to wait for an answer that may have been lost with a connection before asking again.
	shortAnswer = 2 * time.Second
)

// sentry tells whether a stream is still the one it was. Not safe for concurrent use.
type sentry struct {
	js     jetstream.JetStream
	stream string
	epoch  Epoch
	gone   time.Time // since when it, or its end, is missing; zero while it is there
}

// stand makes a sentry for the stream as it is now.
func stand(ctx context.Context, js jetstream.JetStream, streamName string) (*sentry, error) {
	st, err := js.Stream(ctx, streamName)
	if err != nil {
		return nil, err
	}
	return &sentry{js: js, stream: streamName, epoch: EpochOf(st.CachedInfo())}, nil
}

// look returns ErrReplaced if the stream is another one now, or for long is
// missing or does not reach to sequence last. Any other error says that it could
// not be seen, or not be seen so far.
func (s *sentry) look(ctx context.Context, last uint64) error {
	ctx, cancel := context.WithTimeout(ctx, shortAnswer)
	defer cancel()
	st, err := s.js.Stream(ctx, s.stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return s.missing(err)
	case err != nil:
		return err
	}
	info := st.CachedInfo()
	switch now := EpochOf(info); {
	case now != s.epoch:
		return fmt.Errorf("%w (of %s, now of %s)", ErrReplaced, s.epoch, now)
	case info.State.LastSeq < last:
		return s.missing(fmt.Errorf("read to %d, it ends at %d", last, info.State.LastSeq))
	}
	s.gone = time.Time{}
	return nil
}

// missing returns what is wrong, as ErrReplaced if something has been for long.
// A server of a cluster that has just become the leader may not know all yet.
func (s *sentry) missing(err error) error {
	if s.gone.IsZero() {
		s.gone = time.Now()
	}
	if time.Since(s.gone) >= goneAfter {
		return fmt.Errorf("%w: %w", ErrReplaced, err)
	}
	return err
}

// Watch returns ErrReplaced once the stream is not the one of the epoch any
// more, and nil when ctx ends. It is for those who write to a stream, or do not
// read it all the time; readers watch themselves.
func Watch(ctx context.Context, js jetstream.JetStream, streamName string, epoch Epoch) error {
	s := sentry{js: js, stream: streamName, epoch: epoch}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.look(ctx, 0); errors.Is(err, ErrReplaced) {
			return fmt.Errorf("stream %s: %w", streamName, err)
		}
	}
}
