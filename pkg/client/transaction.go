package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// ErrAborted says that a transaction ended with an Abort: what came of it does not count.
var ErrAborted = errors.New("the transaction was taken back; it comes again")

// Transaction is a transaction of a shape that is being read: its changes come as they are asked
// for, so memory stays bounded however large it is. It is valid in the loop over
// Subscription.Transactions until that goes on.
type Transaction struct {
	// Begin is what is known of the transaction at its start.
	Begin

	next   func() (Event, error, bool)
	commit Commit
	err    error // what it ended with instead of a Commit
	over   bool
}

// Changes iterates over the changes that have not come yet. It ends with the transaction; Commit
// tells how that ended, so call Commit behind it before the changes count.
func (t *Transaction) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for {
			c, ok := t.change()
			if !ok || !yield(c) {
				return
			}
		}
	}
}

// Commit passes over the changes that have not come yet and returns the transaction's end. Only
// without an error do its changes count. ErrAborted says that the server took them back: undo
// them, or roll back, and go on with the loop, which brings them again. Any other error also ends the loop.
func (t *Transaction) Commit() (Commit, error) {
	for {
		if _, ok := t.change(); !ok {
			return t.commit, t.err
		}
	}
}

// change returns the next change; false at the transaction's end.
func (t *Transaction) change() (Change, bool) {
	for !t.over {
		event, err, ok := t.next()
		switch e := event.(type) {
		case Change:
			return e, true
		case Commit:
			t.commit, t.over = e, true
		case Abort:
			t.err, t.over = ErrAborted, true
		}
		switch {
		case !ok:
			t.err, t.over = errors.New("the loop over the transactions is over"), true
		case err != nil:
			t.err, t.over = fmt.Errorf("in the transaction at %s: %w", t.LSN, err), true
		}
	}
	return Change{}, false
}

// Transactions iterates over the shape's transactions, the snapshot and units of several
// transactions among them, and waits for more at the end of the log, until ctx ends. It is Events for apps that do
// something with whole transactions. What Events tells besides, Stalled tells here.
//
// An app that applies each to a store of its own does so in a transaction of that store, in which
// it also keeps Commit.Position, and begins from there again:
//
//	for tx, err := range sub.Transactions(ctx) {
//		if err != nil {
//			return err
//		}
//		// begin, in the store
//		for change := range tx.Changes() {
//			// apply
//		}
//		commit, err := tx.Commit()
//		if err != nil {
//			// roll back
//			continue // after ErrAborted it comes again; any other error comes in the loop
//		}
//		// keep commit.Position(), and commit
//	}
//
// A loop that goes on inside a transaction passes over the rest of it, as if it had been applied.
// The iteration ends as that of Events does.
func (s *Subscription) Transactions(ctx context.Context) iter.Seq2[*Transaction, error] {
	return func(yield func(*Transaction, error) bool) {
		next, stop := iter.Pull2(s.Events(ctx))
		defer stop()
		var open *Transaction
		for {
			if open != nil {
				_, err := open.Commit() // the rest, if there is any
				open = nil
				if err != nil && !errors.Is(err, ErrAborted) {
					yield(nil, errors.Unwrap(err))
					return
				}
			}
			event, err, ok := next()
			switch {
			case !ok:
				return
			case err != nil:
				yield(nil, err)
				return
			}
			if begin, is := event.(Begin); is {
				open = &Transaction{Begin: begin, next: next}
				if !yield(open, nil) {
					return
				}
			}
		}
	}
}
