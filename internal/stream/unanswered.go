package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// A server that dies takes messages with it that it had not handed on, and answers to messages that it had. The client
// does not hear of that if it is connected to another server of the cluster. So when no answer comes, the appender looks at
// the stream: one that can be seen, and does not move, has nothing more to say. One that cannot be seen may have no leader
// at the moment, and is waited for.

const (
	// lookEach is the pause between looks, and what one may take.
	lookEach = time.Second
	// unanswered is how often that passes without the answer before the first look.
	unanswered = 3
)

// seen is what looks at a stream have shown while a message was not answered.
type seen struct {
	looked bool
	last   uint64 // sequence of the last message in the stream
}

// lost takes another look and reports whether there will be no answer to the message of sequence seq: the stream has not
// moved since the look before, or had the message then.
func (s *seen) lost(last, seq uint64) bool {
	before := *s
	*s = seen{looked: true, last: last}
	return before.looked && (last == before.last || before.last >= seq)
}

// answer waits until a message is stored. The error is what ends the appender.
func (a *Appender) answer(p inFlight, lost <-chan nats.Status, tick <-chan time.Time) error {
	var looks seen
	for passed := 0; ; {
		select {
		case ack := <-p.future.Ok():
			if ack.Sequence != p.seq {
				return fmt.Errorf("%w: message stored at %d, expected at %d", ErrFenced, ack.Sequence, p.seq)
			}
			return nil
		case err := <-p.future.Err():
			return refused(err)
		case <-lost:
			return ErrDisconnected
		case <-a.ctx.Done():
			return context.Cause(a.ctx)
		case <-tick:
		}
		if passed++; passed < unanswered {
			continue
		}
		if last, err := a.lastOf(a.ctx); err == nil && looks.lost(last, p.seq) && len(p.future.Ok()) == 0 {
			return fmt.Errorf("%w: message %d was not acknowledged, and the stream stands at %d; %s", ErrStalled, p.seq, last, fullDisk)
		}
	}
}

// lastOf is the sequence of the stream's last message.
func (a *Appender) lastOf(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookEach)
	defer cancel()
	st, err := a.js.Stream(ctx, a.stream)
	if err != nil {
		return 0, err
	}
	return st.CachedInfo().State.LastSeq, nil
}
