package shapes

import (
	"context"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// A unit may defer transactions, which come behind its commit marker, and clients see both together. But what was
// deferred may change nothing in the shape when it comes, and then no marker says that it has come. The control plane knows.

// isComplete reports whether nothing is missing before a commit marker, by what is known of the log.
func isComplete(marker change.Offset, known *client.Reach) bool {
	return known != nil && !marker.Before(known.Offset) && known.LSN >= marker.LSN
}

// How long to wait before the control plane is asked, since what was deferred mostly comes at once, and between that and
// the next time.
const (
	askFirst = 20 * time.Millisecond
	askLast  = time.Second
)

// completes waits until a log is complete up to its end, and returns that.
func (k *Keeper) completes(ctx context.Context, sh *client.Shape, stream, subject string) (change.Offset, error) {
	for wait := askFirst; ; wait = min(2*wait, askLast) {
		tail, err := readTail(ctx, k.js, stream, subject)
		switch {
		case err != nil:
			return change.Offset{}, err
		case tail.Ended:
			return change.Offset{}, ErrOver
		case tail.Deferred == "":
			return tail.Committed, nil
		}
		known, err := sh.Reach(ctx)
		if err != nil {
			return change.Offset{}, err
		}
		if isComplete(tail.Committed, known) {
			return tail.Committed, nil
		}
		if pause(ctx, wait) != nil {
			return change.Offset{}, ErrStalled
		}
	}
}

// complete asks until what the follower holds back is complete, by what comes or by what the control plane says.
func (f *follower) complete(ctx context.Context) {
	for wait := askFirst; pause(ctx, wait) == nil; wait = min(2*wait, askLast) {
		if !f.holds() {
			return
		}
		// When it cannot be asked, the log may still tell.
		if known, err := f.shape.shape.Reach(ctx); err == nil {
			f.reached(known)
		}
	}
}

// holds reports whether something is held back. Who is told that nothing is, asks no more.
func (f *follower) holds() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asking = f.held != nil
	return f.asking
}

// reached shows what is held back if the log is complete up to there. While a transaction is being read, its end tells.
func (f *follower) reached(known *client.Reach) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil && !f.open && isComplete(*f.held, known) {
		f.showLocked(*f.held)
	}
}
