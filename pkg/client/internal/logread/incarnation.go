package logread

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/wire"
)

// A stream may be deleted and made again, or restored from a backup, under the
// name and the eyes of its readers. Then sequences start over, and what stands
// under one of them is not what stood there. Readers notice by the log itself and ask the
// server for hardly more than they do anyway, since there may be thousands of them:
//
//   - each message says how large the log is up to it, so one that does not
//     follow on what was read shows;
//   - the newest message, which an idle reader looks at now and then, is compared
//     with the last one read;
//   - one that was stored later than that and has an earlier place is of another log;
//   - after a reconnect the last message read is looked at again, if it is not the newest.
//
// Then the place is found by the offset.

// standing is what a log's newest message says about what was read of the log.
type standing int

const (
	standsAsRead standing = iota // nothing is missing
	standsShort                  // it ends before what was read, or is gone: a replica lags behind, or it is another log
	standsMoved                  // it is another log, which reaches as far
)

// compare judges a log by its newest message, if it has one. read is the last
// message that was read, base the last commit.
func compare(read head, base change.Offset, newest head, found bool) standing {
	switch {
	case !found:
		return standsShort
	case read.seq > 0 && (newest.seq < read.seq || newest.seq == read.seq && !newest.same(read)):
		if newest.tail.Ended || !newest.tail.Committed.Before(base) {
			return standsMoved
		}
		return standsShort
	case newest.tail.Ended || !newest.tail.Committed.Before(base):
		return standsAsRead
	}
	return standsShort
}

// look learns the log's newest message from the log. Unless it is full it only
// looks for a message behind the last one taken, which costs next to nothing
// when there is none, but cannot tell a log without news from one that is gone.
func (r *Reader) look(ctx context.Context, full bool) error {
	if !full {
		_, _, found, err := r.fetch.next(ctx, r.subject, r.cursor.fed+1)
		if err != nil || !found {
			return err
		}
	}
	m, h, found, err := r.fetch.newest(ctx, r.subject)
	if err != nil {
		return err
	}
	switch compare(r.cursor.mark, r.cursor.base, h, found) {
	case standsMoved:
		return errMoved
	case standsShort:
		return r.lost(ctx, m, h, found)
	case standsAsRead:
	}
	if r.unsure && !h.same(r.cursor.mark) {
		moved, err := r.moved(ctx)
		if err != nil {
			return err
		}
		if moved {
			return errMoved
		}
	}
	if r.unsure {
		r.rumor.pause.Reset()
	}
	r.suspect, r.unsure = time.Time{}, false
	r.live.note(h)
	return nil
}

// lost decides about a log that is empty, or ends before what was read of it.
func (r *Reader) lost(ctx context.Context, m raw, h head, found bool) error {
	if found { // one that begins with another snapshot never comes to where the reader is
		if err := r.recognize(ctx, m, h); err != nil {
			return err
		}
	}
	info, err := r.ask(ctx)
	if over := r.ends(info, err); over != nil {
		return over
	}
	if err != nil {
		r.log.WarnContext(ctx, "cannot ask after a shape whose log lacks something", slog.Any("error", err))
	}
	if !found && r.cursor.fed == 0 {
		// Is it that its snapshot has not been taken yet?
		if err == nil && info.State == control.StateCreating {
			r.suspect = time.Time{}
			return nil
		}
		if err != nil && r.from.IsBeginning() {
			return fmt.Errorf("there is nothing in it, and whether it is about to begin cannot be asked: %w", err)
		}
	}
	r.unsure = true
	if r.suspect.IsZero() {
		r.suspect = time.Now()
	}
	if time.Since(r.suspect) < r.opts.Patience {
		return nil
	}
	reason := "its log is gone"
	if found {
		reason = fmt.Sprintf("its log ends at offset %s, before offset %s from which to go on; it was replaced or restored", h.tail.Committed, r.cursor.base)
	}
	return &event.MustRefetchError{Handle: r.shape.Info.Handle, Reason: reason}
}

// moved reports whether the log does not hold any more what was read of it.
// After that an error about the log says nothing about either.
func (r *Reader) moved(ctx context.Context) (bool, error) {
	read := r.cursor.mark
	if read.seq == 0 {
		return false, nil
	}
	_, h, found, err := r.fetch.next(ctx, r.subject, read.seq)
	return err == nil && (!found || !h.same(read)), err
}

// relocate goes on in a log that is another one.
func (r *Reader) relocate(ctx context.Context) error {
	r.log.WarnContext(ctx, "the log of a shape is not the one that was read, finding the place in it by the offset", slog.String("offset", r.cursor.base.String()))
	r.batch, r.suspect, r.unsure, r.behind = nil, time.Time{}, false, true
	r.live.reset()
	switch {
	case r.cursor.began:
		if err := r.cursor.rewind(); err != nil {
			return err
		}
		r.from = event.Position{Handle: r.cursor.handle, Offset: r.cursor.base}
	case r.cursor.opened:
		return &event.MustRefetchError{Handle: r.shape.Info.Handle, Reason: "its log was made again while its snapshot was read"}
	default:
		r.cursor.restart()
	}
	return r.retry(ctx, "find the place in the log", r.locate)
}

// locate finds where in the log to begin, once its newest message is known.
func (r *Reader) locate(ctx context.Context) error {
	if r.from.IsBeginning() {
		return r.locateBeginning(ctx)
	}
	m, h, found, err := r.fetch.newest(ctx, r.subject)
	if err != nil {
		return err
	}
	pos := r.from.Offset
	if !found || !h.tail.Ended && h.tail.Committed.Before(pos) {
		if err := r.lost(ctx, m, h, found); err != nil {
			return err
		}
		if r.suspect.IsZero() {
			return nil // it is about to begin
		}
		return fmt.Errorf("the log does not reach offset %s yet", pos)
	}
	if err := r.recognize(ctx, m, h); err != nil {
		return err
	}
	at, err := r.fetch.start(ctx, r.subject, pos, r.cursor.marked, m, h)
	if err != nil {
		return err
	}
	c := &r.cursor
	c.place, c.bottom, c.unmet = place{fed: at.fed}, at.bottom, !at.met && !r.opts.Nearest
	if at.after.seq > 0 {
		c.mark, c.at = at.after, at.after.at
	}
	// What stands before is known to be so large: if it goes, what comes next does not follow on it.
	c.bytes, c.sized = at.bytes, at.sized
	r.suspect = time.Time{}
	r.live.note(h)
	return nil
}

// recognize makes sure that the log begins with the snapshot that was read, as
// far as both are known. m is its newest message.
func (r *Reader) recognize(ctx context.Context, m raw, h head) error {
	first, _, err := r.fetch.at(ctx, r.subject, 1)
	if err != nil {
		return err
	}
	begins := ""
	var dec wire.LogDecoder
	_ = dec.Decode(first.data, func(e *wire.Entry) error { // who reads it meets its errors
		if e.Kind == wire.EntrySegment {
			begins = origin(e)
		}
		return ErrStop
	})
	switch was := r.cursor.origin; {
	case begins == "" || was == begins:
		return nil
	case was == "":
		r.cursor.origin = begins
		return nil
	case h.tail.Ended:
		return r.ended(m)
	}
	return &event.MustRefetchError{Handle: r.shape.Info.Handle, Reason: "its log was made again, with another snapshot"}
}

// ended reads the reason in a log's last message.
func (r *Reader) ended(m raw) error {
	end := &event.MustRefetchError{Handle: r.shape.Info.Handle, Reason: "it ended"}
	var dec wire.LogDecoder
	err := dec.Decode(m.data, func(e *wire.Entry) error {
		if e.Kind == wire.EntryEnd {
			end.Reason = e.Reason
		}
		return nil
	})
	if err != nil {
		return r.cursor.undecodable(fmt.Sprintf("message %d", m.seq), err)
	}
	return end
}
