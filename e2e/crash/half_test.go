package crash

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/client"
)

// I3: a reader never sees part of a transaction.
func TestReadersSeeALargeTransactionWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.start()
	w.exec("INSERT INTO items SELECT g, 3, 'before', true FROM generate_series(1, 10) g")
	w.settle()
	const before, after = 10, 10 + 32_500 // rows of the shape of all items

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	seen := make(chan error, 3)
	for name, read := range map[string]func(context.Context) error{
		"who applies the rule of logs to what is stored": func(ctx context.Context) error { return w.pollLog(ctx, before, after) },
		"of a view":         func(ctx context.Context) error { return w.pollView(ctx, before, after) },
		"of a subscription": func(ctx context.Context) error { return w.followEvents(ctx, after-before) },
	} {
		readers.Go(func() {
			if err := read(ctx); err != nil {
				err = fmt.Errorf("a reader %s: %w", name, err)
				seen <- err
				return
			}
			seen <- nil
		})
	}
	w.bigTransaction()
	w.awaitOpen(0)
	at := w.tail(0)
	t.Logf("the log stands at %s, committed to %s: %d and %d rows", at.Last, at.Committed, at.Rows, at.CommittedRows)
	for range cap(seen) {
		select {
		case err := <-seen:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(proc.Patience):
			t.Fatal("the readers have not seen the transaction")
		}
	}
	cancel()
	readers.Wait()
	w.verify()
}

// pollLog asks again and again how many rows the log holds to its last marker.
func (w *world) pollLog(ctx context.Context, before, after int64) error {
	open, reads := 0, 0
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		tail, err := w.readTail(ctx, 0)
		if err != nil {
			return err
		}
		reads++
		if tail.Open() {
			open++
		}
		switch tail.CommittedRows {
		case before:
		case after:
			w.tb.Logf("%d reads of the log's tail, %d inside the transaction", reads, open)
			if open == 0 {
				return errors.New("it never looked while the transaction was being written")
			}
			return nil
		default:
			return fmt.Errorf("%d rows at %s, want %d or %d", tail.CommittedRows, tail.Committed, before, after)
		}
	}
	return ctx.Err()
}

func (w *world) pollView(ctx context.Context, before, after int) error {
	view := w.shapes[0].View(client.ViewOptions{}) //nolint:contextcheck // it is closed here
	defer view.Close()
	if err := view.WaitReady(ctx); err != nil {
		return err
	}
	for {
		changed := view.Changed()
		switch n := view.Len(); n {
		case before:
		case after:
			return nil
		default:
			return fmt.Errorf("%d rows, want %d or %d", n, before, after)
		}
		select {
		case <-changed:
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// followEvents takes note of every event: a change of a transaction must not
// come before its marker stands in the log.
func (w *world) followEvents(ctx context.Context, rows int64) error {
	var inside, net int64
	for event, err := range w.shapes[0].Subscribe(client.Beginning(), client.Options{}).Events(ctx) {
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case client.Begin:
			inside = 0
		case client.Change:
			if inside == 0 && !e.Offset.IsZero() {
				tail, err := w.readTail(ctx, 0)
				if err != nil {
					return err
				}
				if tail.Committed.Before(e.Offset) {
					return fmt.Errorf("change %s was handed out, but the log is committed only to %s", e.Offset, tail.Committed)
				}
			}
			inside++
		case client.Commit:
			if e.Changes != uint64(inside) {
				return fmt.Errorf("transaction %s has %d changes, %d were handed out", e.Offset, e.Changes, inside)
			}
			if net = inside; net > rows {
				return nil
			}
		}
	}
	return ctx.Err()
}
