package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

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
// is never an empty one. Readers pass over them; see Fence.

const (
	// maxWindowMessages bounds AppenderConfig.WindowMessages, because a
	// successor must be able to pass the window.
	maxWindowMessages = 512
	// fenceMessages is more than an appender can have in flight: the window,
	// one message being answered and one waiting to enter it.
	fenceMessages = maxWindowMessages + 4
)

// fenceSubject is where a stream's fences go; none if the stream takes no
// atomic batches or has no subject of the form "prefix.>".
func fenceSubject(cfg jetstream.StreamConfig) string {
	if !cfg.AllowAtomicPublish || len(cfg.Subjects) == 0 {
		return ""
	}
	prefix, ok := strings.CutSuffix(cfg.Subjects[0], ".>")
	if !ok {
		return ""
	}
	return prefix + "." + topology.FenceToken
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
	patience := a.ackTimeout
	if a.stall > 0 {
		patience = min(patience, a.stall)
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
		if lsn := m.Header.Get(topology.HeaderLSN); lsn != "" {
			h.Set(topology.HeaderLSN, lsn) // so that Seek finds its way
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
	a.fence = ""
	return nil
}

// fenceError says what the error of a batch means here. Whether it was stored
// may be unknown; the appender ends in any case.
func (a *Appender) fenceError(ctx context.Context, err error) error {
	if ctx.Err() != nil && a.js.Conn().IsConnected() {
		return fmt.Errorf("%w: nothing came back for the first message; start the servers that hold the stream's copies, and if the NATS server's log tells of a full disk, make room and start it again: %w", ErrStalled, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: no answer to the first message; if the NATS server's log tells of a full disk, make room and start it again: %w", ErrDisconnected, err)
	}
	return refused(err)
}
