package shapelog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shapebus/shapebus/internal/stream"
)

// Writer is the only one who writes a partition's stream, until it fails or is closed. Nil is one
// that has failed. Safe for concurrent use.
type Writer struct {
	n     int
	out   *stream.Appender
	began time.Time
	mu    sync.Mutex
	cause error // set by kill
}

// lostError says that a partition cannot be written any more. What concerns
// its shapes alone may ignore it: they are taken in again when it is back.
type lostError struct {
	n   int
	err error
}

func (e *lostError) Error() string { return fmt.Sprintf("partition %d: %v", e.n, e.err) }

func (e *lostError) Unwrap() error { return e.err }

// IsLost reports whether an error concerns one partition only.
func IsLost(err error) bool {
	_, ok := errors.AsType[*lostError](err)
	return ok
}

// IgnoreLost drops an error that concerns one partition only.
func IgnoreLost(err error) error {
	if IsLost(err) {
		return nil
	}
	return err
}

var errDown = errors.New("it cannot be written at present")

// Err is nil while the writer works, then what ended it: a lostError unless that
// concerns all partitions.
func (w *Writer) Err() error {
	if w == nil {
		return &lostError{-1, errDown}
	}
	w.mu.Lock()
	err := w.cause
	w.mu.Unlock()
	if err == nil {
		err = w.out.Err()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, stream.ErrDisconnected):
		return fmt.Errorf("partition %d: %w", w.n, err)
	}
	return &lostError{w.n, err}
}

// Over is err as a condition.
func (w *Writer) Over() bool { return w.Err() != nil }

// Kill ends the writing for a reason.
func (w *Writer) Kill(err error) {
	w.mu.Lock()
	if w.cause == nil && w.out.Err() == nil {
		w.cause = err
	}
	w.mu.Unlock()
	w.out.Close()
}

// explain replaces an error of the appender by what ended the writing, if that is over.
func (w *Writer) explain(err error) error {
	if ended := w.Err(); err != nil && ended != nil {
		return ended
	}
	return err
}

// Flush waits until all is stored that was appended.
func (w *Writer) Flush(ctx context.Context) error {
	if w == nil {
		return w.Err()
	}
	return w.explain(w.out.Flush(ctx))
}

// Close ends the writing; what is on its way may still be stored.
func (w *Writer) Close() { w.out.Close() }

// Done is closed when the writer has failed or was closed.
func (w *Writer) Done() <-chan struct{} { return w.out.Done() }

// SetStall changes how long others wait for a stream that answers nothing.
func (w *Writer) SetStall(d time.Duration) { w.out.SetStall(d) }

// Age is how long the writer has worked.
func (w *Writer) Age() time.Duration { return time.Since(w.began) }

// parts is the number of parts in which data of a size is stored.
func (w *Writer) parts(size int) int {
	if w == nil {
		return 1
	}
	return w.out.Parts(size)
}

// append hands a message to the appender.
func (w *Writer) append(ctx context.Context, m stream.Message, stored func(uint64)) error {
	if w == nil {
		return w.Err()
	}
	return w.explain(w.out.Append(ctx, m, stored))
}
