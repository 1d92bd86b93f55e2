package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/pkg/topology"
)

// The expected sequence alone does not keep out a writer that lost its right
// while many messages of it were on their way. The first of them fails, but
// each one expects a sequence higher by one, so a later one can happen to
// expect the very sequence that its successor has reached, and would be stored
// without those before it.
//
// So an appender opens with a fence: its first message goes in one atomic batch
// behind so many empty messages that the stream's sequence passes, in one step,
// everything that a writer before can expect. That is bounded: it does not send
// more than a window beyond what is acknowledged. The last message of the stream
// is never an empty one. Readers pass over them; see Fence. Where nobody reads by sequence they are
// removed again: they have done their work once something is stored behind them.

const (
	// maxWindowMessages bounds AppenderConfig.WindowMessages, because a
	// successor must be able to pass the window.
	maxWindowMessages = 512
	// fenceMessages is more than an appender can have in flight: the window,
	// one message being answered and one waiting to enter it.
	fenceMessages = maxWindowMessages + 4
)

// fencePatience bounds the wait for the answer to a fence: a stream without a leader answers nothing.
const fencePatience = 10 * time.Second

// fenceSubject is where a stream's fences go. A stream that takes none is refused: nothing would
// keep late messages out of it.
func fenceSubject(nc *nats.Conn, cfg jetstream.StreamConfig) (string, error) {
	if err := topology.CheckAtomic(nc, cfg); err != nil {
		return "", err
	}
	if len(cfg.Subjects) > 0 {
		if prefix, ok := strings.CutSuffix(cfg.Subjects[0], ".>"); ok {
			return prefix + "." + topology.FenceToken, nil
		}
	}
	return "", fmt.Errorf("stream %s has no subject of the form prefix.> for its fences", cfg.Name)
}

// Fence reports whether a message is one of a fence's empty ones, and how many
// of them stand there up to and including it.
func Fence(h nats.Header) (count uint64, ok bool) {
	s := h.Get(topology.HeaderFence)
	if s == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return max(n, 1), err == nil
}

// publishFenced stores the appender's first message behind a fence. It waits
// for the answer: nothing may follow before it.
func (a *Appender) publishFenced(ctx context.Context, m *nats.Msg) error {
	patience := min(a.ackTimeout, fencePatience)
	if stall := time.Duration(a.stall.Load()); stall > 0 {
		patience = min(patience, stall)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer context.AfterFunc(a.ctx, cancel)() //nolint:contextcheck // whichever of the two lives ends first ends the wait
	batch, err := jetstreamext.NewBatchPublisher(a.js)
	if err != nil {
		return err
	}
	for i := range fenceMessages {
		h := Header(topology.HeaderFence, strconv.Itoa(i+1))
		for _, key := range []string{topology.HeaderLSN, topology.HeaderAfter} {
			if v := m.Header.Get(key); v != "" {
				h.Set(key, v) // so that Seek finds its way
			}
		}
		var opts []jetstreamext.BatchMsgOpt
		if i == 0 {
			opts = append(opts, jetstreamext.WithBatchExpectLastSequence(a.next))
		}
		if err := batch.AddMsg(&nats.Msg{Subject: a.fence, Header: h}, opts...); err != nil {
			return a.fenceError(ctx, err)
		}
	}
	ack, err := batch.CommitMsg(ctx, m)
	if errors.Is(err, nats.ErrMaxPayload) {
		return a.unsent(m, err)
	}
	if err != nil {
		return a.fenceError(ctx, err)
	}
	if want := a.next + fenceMessages + 1; ack.Sequence != want {
		return fmt.Errorf("%w: message stored at %d, expected at %d", ErrFenced, ack.Sequence, want)
	}
	a.next = ack.Sequence
	if a.purgeFence {
		subject := a.fence
		a.purging.Go(func() { a.removeFences(a.ctx, subject, ack.Sequence) })
	}
	a.fence = ""
	return nil
}

// removeFences removes the stream's fences before a message. The stream's last sequence, which
// keeps late messages out, stays as it is, since that message is behind them. Those that cannot be
// removed go with the next writer's.
func (a *Appender) removeFences(ctx context.Context, subject string, before uint64) {
	ctx, cancel := context.WithTimeout(ctx, a.ackTimeout)
	defer cancel()
	st, err := a.js.Stream(ctx, a.stream)
	if err != nil {
		return
	}
	_ = st.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(before)) // see above
}

// fullDisk is what to do about a server that leaves writes unanswered since it had no room for them.
const fullDisk = "if the NATS server's log tells of a full disk, make room and start it again"

// fenceError says what the error of a batch means here. Whether it was stored
// may be unknown; the appender ends in any case.
func (a *Appender) fenceError(ctx context.Context, err error) error {
	if ctx.Err() != nil && a.js.Conn().IsConnected() {
		return fmt.Errorf("%w: no answer to the first message; start the servers that hold the stream's copies, and %s: %w", ErrStalled, fullDisk, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: no answer to the first message; %s: %w", ErrDisconnected, fullDisk, err)
	}
	return refused(err)
}
