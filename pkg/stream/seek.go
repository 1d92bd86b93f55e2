package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// LSN returns the LSN in a change log message's header.
func LSN(h nats.Header) (change.LSN, error) {
	v, err := strconv.ParseUint(h.Get(topology.HeaderLSN), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("header %s: %w", topology.HeaderLSN, err)
	}
	return change.LSN(v), nil
}

// LSNHeader is the header of a change log message.
func LSNHeader(l change.LSN) nats.Header {
	return Header(topology.HeaderLSN, strconv.FormatUint(uint64(l), 10))
}

// Seek returns the sequence of the first message of the change log whose LSN
// is at least lsn, or the one after the last message when there is none. Where
// the log's beginning has been discarded, that is the first of what is left;
// whether something was lost is the caller's to tell.
//
// It is a binary search: about 20 direct gets in a log of a million messages.
// hint, if not zero, is a sequence to try first.
func Seek(ctx context.Context, st jetstream.Stream, lsn change.LSN, hint uint64) (uint64, error) {
	info, err := st.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("seek %s: %w", lsn, err)
	}
	lo, hi := info.State.FirstSeq, info.State.LastSeq+1 // the answer is in [lo, hi]
	if info.State.Msgs == 0 {
		return hi, nil
	}
	at := func(seq uint64) (bool, error) { // message seq is at or after lsn
		m, err := st.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, nil // discarded meanwhile: before everything that is left
		}
		if err != nil {
			return false, fmt.Errorf("seek %s: get message %d: %w", lsn, seq, err)
		}
		l, err := LSN(m.Header)
		if err != nil {
			return false, fmt.Errorf("seek %s: message %d: %w", lsn, seq, err)
		}
		return l >= lsn, nil
	}
	if hint > lo && hint < hi {
		after, err := at(hint)
		if err != nil {
			return 0, err
		}
		before, err := at(hint - 1)
		if err != nil {
			return 0, err
		}
		switch {
		case after && !before:
			return hint, nil
		case after:
			hi = hint
		default:
			lo = hint + 1
		}
	}
	for lo < hi {
		mid := lo + (hi-lo)/2
		after, err := at(mid)
		if err != nil {
			return 0, err
		}
		if after {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo, nil
}
