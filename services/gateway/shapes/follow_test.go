package shapes

import (
	"errors"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

func marker(lsn change.LSN, passed change.LSN) client.Commit {
	return client.Commit{Offset: change.Offset{LSN: lsn, Op: 2}, LSN: lsn, Passed: passed}
}

// A marker is shown once nothing is missing before it, as a later marker or the control plane says, and not inside of a transaction.
func TestAMarkerIsShownOnceNothingIsMissingBeforeIt(t *testing.T) {
	type event = any
	known := func(lsn, applied change.LSN) *client.Reach {
		return &client.Reach{Offset: change.Offset{LSN: lsn, Op: 2}, LSN: applied}
	}
	for _, c := range []struct {
		name   string
		events []event
		want   change.LSN // of the tail, which is at 100 before
	}{
		{"a transaction", []event{client.Begin{LSN: 110}, marker(110, 110)}, 110},
		{"a unit that defers something", []event{client.Begin{LSN: 110}, marker(120, 114)}, 100},
		{"what was deferred comes", []event{marker(120, 114), client.Begin{LSN: 115}, marker(120, 120)}, 120},
		{"it is not known here", []event{marker(120, 0)}, 100},
		{"nothing is known of the log", []event{marker(120, 114), (*client.Reach)(nil)}, 100},
		{"the control plane knows that it has come", []event{marker(120, 114), known(120, 120)}, 120},
		{"and more", []event{marker(120, 114), known(120, 200)}, 120},
		{"it has not come", []event{marker(120, 114), known(120, 114)}, 100},
		{"the log goes on behind the marker", []event{marker(120, 114), known(130, 130)}, 100},
		{"a transaction is being read", []event{marker(120, 114), client.Begin{LSN: 130}, known(120, 120)}, 100},
		{"it was taken back", []event{marker(120, 114), client.Begin{LSN: 130}, client.Abort{}, known(120, 120)}, 120},
		{"nothing is held back", []event{known(120, 120)}, 100},
	} {
		s := &Shape{keeper: &Keeper{}, tail: change.Offset{LSN: 100, Op: 2}, changed: make(chan struct{})}
		f := follower{shape: s}
		for _, e := range c.events {
			switch e := e.(type) {
			case *client.Reach:
				f.reached(e)
			case client.Event:
				if err := f.take(e); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s.tail.LSN != c.want {
			t.Errorf("%s: the tail is at %s, want %s", c.name, s.tail.LSN, c.want)
		}
		if asks := f.mustAsk(); asks != (f.held != nil) {
			t.Errorf("%s: the control plane is asked: %v", c.name, asks)
		}
	}
}

// A piece ends at the marker that clients may see, whatever stands behind it.
func TestAPieceEndsAtTheTail(t *testing.T) {
	until := change.Offset{LSN: 120, Op: 2}
	for _, c := range []struct {
		name   string
		events []client.Event
		want   error
	}{
		{"before it", []client.Event{client.Begin{LSN: 110}, marker(110, 110), client.CaughtUp{}}, nil},
		{"at it, though something is deferred there", []client.Event{marker(110, 110), client.Begin{LSN: 120}, marker(120, 114)}, errPieceDone},
		{"the log does not have it", []client.Event{marker(110, 110), marker(130, 130)}, ErrStalled},
	} {
		p := piece{shape: &Shape{}, until: until}
		var err error
		for _, e := range c.events {
			err = p.take(e)
		}
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == errPieceDone { //nolint:errorlint // the table's own
			if b := p.body(); !b.UpToDate || b.Next.Offset != until || b.LSN != until.LSN {
				t.Errorf("%s: %+v", c.name, b)
			}
		}
	}
}

// What was written again, after it was taken back, has offsets that stand in the log twice. Nobody takes one of them for proven, however many pieces
// it is read in.
func TestWhatStandsTwiceIsNotProven(t *testing.T) {
	s, marker := &Shape{}, change.Offset{LSN: 120, Op: 9}
	for i, c := range []struct {
		aborted bool
		to      change.Offset
		proven  bool
	}{{true, marker, false}, {false, marker, false}, {false, change.Offset{LSN: 160, Op: 2}, true}, {true, change.Offset{LSN: 200, Op: 2}, false}} {
		s.proved = [2]change.Offset{}
		p := piece{shape: s, cut: change.Offset{LSN: c.to.LSN, Op: 1}}
		if c.aborted {
			if err := p.take(client.Abort{}); err != nil {
				t.Fatal(err)
			}
		}
		p.beyond = true
		if err := p.take(client.Commit{Offset: c.to}); !errors.Is(err, errPieceDone) {
			t.Fatal(err)
		}
		if proven := s.proved == [2]change.Offset{p.cut, c.to}; proven != c.proven {
			t.Errorf("piece %d: it is proven up to %s: %t", i, c.to, proven)
		}
	}
}
