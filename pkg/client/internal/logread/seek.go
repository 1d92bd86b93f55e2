package logread

import (
	"context"
	"fmt"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
)

// start is where reading a log begins: after the message at sequence fed. bottom says
// that the log's first message comes next; met that a message says of itself that it
// ends at the offset from which to go on. after is the message at fed, if it was
// looked at and is the last part of one.
type start struct {
	fed    uint64
	bottom bool
	met    bool
	after  head
	bytes  int64 // size of the log up to fed
	sized  bool  // bytes is known
}

// start finds where to read behind the offset pos, which is not ahead of the
// log. newest is the log's last message and h what it says. marker says that
// pos is known to be a commit marker's.
func (f *fetcher) start(ctx context.Context, subject string, pos change.Offset, marker bool, newest raw, h head) (start, error) {
	if h.tail.Ended || h.tail.Open() || h.tail.Committed != pos {
		return f.seek(ctx, subject, pos, marker, newest.seq)
	}
	index, count, err := stream.Part(newest.header)
	if err == nil && index == count-1 {
		return start{fed: newest.seq, met: true, after: h, bytes: h.tail.Bytes, sized: true}, nil // nothing follows
	}
	fed, err := before(newest)
	return start{fed: fed, met: true, bytes: h.tail.Bytes, sized: true}, err // the marker at pos is the last before these parts
}

// seek finds where to read behind pos. The newest message, at sequence hi, has
// a commit marker at pos or beyond it, or the log's end.
//
// Markers only go up, but what is written between two of them may be aborted and
// be written again: a message's last offset can be less than that of one
// before it. So the search goes by markers, and by offsets only between two of them.
func (f *fetcher) seek(ctx context.Context, subject string, pos change.Offset, marker bool, hi uint64) (start, error) {
	bottom, bottomHead, err := f.at(ctx, subject, 1)
	if err != nil {
		return start{}, err
	}
	ends := func(h head) bool { return h.seq > 0 && h.tail.Last == pos && (!marker || h.tail.Committed == pos) }
	// The first message with a marker at pos or beyond, and the one before it.
	last, below, err := f.search(ctx, subject, bottom.seq, hi, func(h head) bool { return h.tail.Ended || !h.tail.Committed.Before(pos) })
	if err != nil {
		return start{}, err
	}
	first, met := last, ends(below)
	if below.seq > 0 && pos.Before(below.tail.Last) {
		// A transaction in several messages has begun before, or something aborted has.
		from := bottom.seq
		if bottomHead.tail.Committed != below.tail.Committed {
			between, _, err := f.search(ctx, subject, bottom.seq, below.seq, func(h head) bool { return !h.tail.Committed.Before(below.tail.Committed) })
			if err != nil {
				return start{}, err
			}
			from = between
		}
		first, below, err = f.search(ctx, subject, from, last, func(h head) bool { return h.tail.Ended || pos.Before(h.tail.Last) })
		if err != nil {
			return start{}, err
		}
		met = met || ends(below)
	}
	m, h, err := f.at(ctx, subject, first)
	if err != nil {
		return start{}, err
	}
	if index, count, err := stream.Part(m.header); err == nil && index == count-1 && !h.tail.Ended && ends(h) {
		return start{fed: m.seq, met: true, after: h, bytes: h.tail.Bytes, sized: true}, nil // it ends there
	}
	fed, err := before(m)
	if err != nil {
		return start{}, err
	}
	at := start{fed: fed, bottom: fed < bottom.seq, met: met || pos.IsZero()}
	if at.bottom {
		return at, nil
	}
	if at.bytes, at.sized, err = f.sizeBefore(ctx, subject, m, h); err != nil {
		return start{}, err
	}
	return at, f.stillBegins(ctx, subject, bottom.seq)
}

// stillBegins fails if a log does not begin any more with the message at a sequence: it has been folded meanwhile, and what
// was found may be the first message that is left rather than the one that was looked for.
func (f *fetcher) stillBegins(ctx context.Context, subject string, at uint64) error {
	m, _, err := f.at(ctx, subject, 1)
	if err == nil && m.seq != at {
		err = fmt.Errorf("read %s: it was folded meanwhile", subject)
	}
	return err
}

// sizeBefore is the size of the log before a message, of which m is a part; ok is false if it cannot be known any more.
func (f *fetcher) sizeBefore(ctx context.Context, subject string, m raw, h head) (bytes int64, ok bool, err error) {
	index, count, err := stream.Part(m.header)
	switch {
	case err != nil:
		return 0, false, err
	case count == 1:
		return h.tail.Bytes - int64(len(m.data)), true, nil
	case index < count-1: // it has the tail from before the message
		return h.tail.Bytes, true, nil
	}
	first, h, err := f.at(ctx, subject, m.seq-uint64(index))
	return h.tail.Bytes, first.seq == m.seq-uint64(index), err
}

// at returns a log's first message at or behind a sequence, which there must be.
func (f *fetcher) at(ctx context.Context, subject string, from uint64) (raw, head, error) {
	m, h, found, err := f.next(ctx, subject, from)
	if err == nil && !found {
		err = fmt.Errorf("read %s: its messages were removed meanwhile", subject)
	}
	return m, h, err
}

// search returns the sequence of the log's first message at or behind lo for
// which is holds, and the message before that one, sequence 0 if it is the
// first to be looked at. It is a binary search over the stream's sequences: is
// must hold for the message at hi. If it holds here and there, any message for
// which it holds and does not for the one before is found.
func (f *fetcher) search(ctx context.Context, subject string, lo, hi uint64, is func(head) bool) (found uint64, below head, err error) {
	for lo < hi {
		mid := lo + (hi-lo)/2
		m, h, err := f.at(ctx, subject, mid)
		switch {
		case err != nil:
			return 0, head{}, err
		case is(h):
			hi = mid
		default:
			lo, below = m.seq+1, h
		}
	}
	m, _, err := f.at(ctx, subject, lo)
	return m.seq, below, err
}

// before is the sequence after which the message begins that m is a part of.
// Parts have consecutive sequences: a stream has one writer, which finishes
// one message before it starts the next.
func before(m raw) (uint64, error) {
	index, _, err := stream.Part(m.header)
	if err != nil {
		return 0, err
	}
	return m.seq - 1 - uint64(index), nil
}
