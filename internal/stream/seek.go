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

// LSNHeader is the header of a change log message that nothing is said of but its LSN.
func LSNHeader(l change.LSN) nats.Header {
	return Header(topology.HeaderLSN, strconv.FormatUint(uint64(l), 10))
}

// ChangeHeader is the header of a change log message at lsn, behind one at
// after. more says that another one with the same LSN follows.
func ChangeHeader(lsn, after change.LSN, more bool) nats.Header {
	h := LSNHeader(lsn)
	h.Set(topology.HeaderAfter, strconv.FormatUint(uint64(after), 10))
	if more {
		h.Set(topology.HeaderMore, "1")
	}
	return h
}

// Traced adds to a header the context of the one trace that its message belongs to, unless that is "".
func Traced(h nats.Header, trace string) nats.Header {
	if trace != "" {
		h[topology.HeaderTrace] = []string{trace}
	}
	return h
}

// Trace is the context that Traced added; "" for none.
func Trace(h nats.Header) string {
	if v := h[topology.HeaderTrace]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Seek returns a sequence at which a reader who needs every message of the
// change log from lsn on may begin: no message before it has an LSN of lsn or
// more, and those from it on do. It is the one after the last message when there is
// none. Where the log's beginning has been discarded, that is the first of what is left;
// whether something was lost is the caller's to tell, see Place.
//
// It is a binary search: about 20 direct gets in a log of a million messages.
// hint, if not zero, is a sequence to try first. Sequences need not be
// contiguous: a server leaves some out after it has lost its unsynced tail.
func Seek(ctx context.Context, st jetstream.Stream, lsn change.LSN, hint uint64) (uint64, error) {
	info, err := st.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("seek %s: %w", lsn, err)
	}
	lo, hi := info.State.FirstSeq, info.State.LastSeq+1 // the answer is in [lo, hi]
	if info.State.Msgs == 0 {
		return hi, nil
	}
	at := func(seq uint64) (bool, error) { // whatever comes first from seq on is at or after lsn
		for {
			m, err := st.GetMsg(ctx, seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				m, err = st.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">"))
			}
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return true, nil // nothing comes
			}
			if err != nil {
				return false, fmt.Errorf("seek %s: get message %d: %w", lsn, seq, err)
			}
			if l, err := LSN(m.Header); err == nil {
				return l >= lsn, nil
			}
			seq = m.Sequence + 1 // somebody else's: whoever reads it says so
		}
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
