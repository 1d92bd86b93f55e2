package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
)

// text writes an event as a line; long values are cut.
func text(e client.Event) string {
	switch e := e.(type) {
	case client.Begin:
		if e.Snapshot {
			return fmt.Sprintf("begin snapshot %d rows", e.Rows)
		}
		line := fmt.Sprintf("begin %d xid %d at %d", e.LSN, e.XID, e.Time.UnixMicro())
		if e.Unit {
			line += " unit"
		}
		return line
	case client.Change:
		return fmt.Sprintf("%s %s %s", e.Offset, e.Kind, rowText(e.Row))
	case client.Commit:
		if e.Snapshot {
			return fmt.Sprintf("commit snapshot %d", e.Changes)
		}
		return fmt.Sprintf("commit %s %d", e.Offset, e.Changes)
	case client.CaughtUp:
		return "caught up " + e.Offset.String()
	case client.Abort:
		return "abort " + e.Offset.String()
	case client.Stalled:
		return "stalled " + e.Err.Error()
	}
	return fmt.Sprintf("%T", e)
}

func rowText(r client.Row) string {
	var b strings.Builder
	for i := range r.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		v := string(r.At(i))
		if len(v) > 20 {
			v = fmt.Sprintf("%s…%d", v[:4], len(v))
		}
		fmt.Fprintf(&b, "%s=%s", r.Column(i).Name, v)
		if r.At(i) == nil {
			b.WriteString("NULL")
		}
	}
	return b.String()
}

// backlog reads from a position until the subscription has caught up.
func backlog(tb testing.TB, s *client.Shape, from client.Position, opts client.Options) []string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var got []string
	for e, err := range s.Subscribe(from, opts).Events(ctx) {
		if err != nil {
			tb.Fatalf("after %d events: %v", len(got), err)
		}
		if _, done := e.(client.CaughtUp); done {
			return got
		}
		got = append(got, text(e))
	}
	return nil
}

// tailing reads in the background and passes on events as lines; the error
// that ends it comes last.
func tailing(tb testing.TB, s *client.Shape, from client.Position, opts client.Options) (lines <-chan string, failed <-chan error, stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, errs := make(chan string), make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		for e, err := range s.Subscribe(from, opts).Events(ctx) {
			if err != nil {
				errs <- err
				return
			}
			if _, is := e.(client.Stalled); is { // of interest to those who wait for it only
				select {
				case out <- text(e):
				default:
				}
				continue
			}
			select {
			case out <- text(e):
			case <-ctx.Done():
				return
			}
		}
	}()
	stop = func() { cancel(); <-done }
	tb.Cleanup(stop)
	return out, errs, stop
}

// expect takes the next lines and compares them.
func expect(tb testing.TB, lines <-chan string, want ...string) {
	tb.Helper()
	for i, w := range want {
		select {
		case got := <-lines:
			if got != w {
				tb.Fatalf("line %d is %q, want %q", i, got, w)
			}
		case <-time.After(20 * time.Second):
			tb.Fatalf("no line %d, want %q", i, w)
		}
	}
}

func mustRefetch(tb testing.TB, err error, reason string) {
	tb.Helper()
	var e *client.MustRefetchError
	if !errors.As(err, &e) || !strings.Contains(e.Reason, reason) {
		tb.Fatalf("got %v, want a MustRefetchError because of %q", err, reason)
	}
}

// failure waits for the error that ends a tailing.
func failure(tb testing.TB, failed <-chan error) error {
	tb.Helper()
	select {
	case err := <-failed:
		return err
	case <-time.After(60 * time.Second):
		tb.Fatal("it goes on")
		return nil
	}
}

// next takes lines but for those about being up to date.
func next(tb testing.TB, lines <-chan string, failed <-chan error, want ...string) {
	tb.Helper()
	deadline := time.After(60 * time.Second)
	for i := 0; i < len(want); {
		select {
		case got, more := <-lines:
			switch {
			case !more:
				tb.Fatalf("ended before line %d: %v", i, <-failed)
			case strings.HasPrefix(got, "caught up"), strings.HasPrefix(got, "stalled"):
			case got != want[i]:
				tb.Fatalf("line %d is %q, want %q", i, got, want[i])
			default:
				i++
			}
		case <-deadline:
			tb.Fatalf("no line %d, want %q", i, want[i])
		}
	}
}

// ends waits for the error that ends a view.
func ends(tb testing.TB, v *client.View) error {
	tb.Helper()
	select {
	case <-v.Done():
		return v.Err()
	case <-time.After(90 * time.Second):
		tb.Fatal("the view does not end")
		return nil
	}
}

// rest takes all lines until the end, which must come.
func rest(tb testing.TB, lines <-chan string) (all []string) {
	tb.Helper()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case line, more := <-lines:
			if !more {
				return all
			}
			all = append(all, line)
		case <-deadline:
			tb.Fatalf("it goes on, behind %q", all)
		}
	}
}
