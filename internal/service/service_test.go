package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProcessNamesDiffer(t *testing.T) {
	if a, b := ProcessName(), ProcessName(); a == b {
		t.Errorf("two names are both %q", a)
	}
}

func TestDefaultLeavesWhatIsSet(t *testing.T) {
	set, zero := 3, 0
	Default(&set, 8)
	Default(&zero, 8)
	if set != 3 || zero != 8 {
		t.Errorf("3 became %d and 0 became %d, want 3 and 8", set, zero)
	}
}

func TestPausesGrowWithinTheirBounds(t *testing.T) {
	for _, most := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond, 5 * time.Second} {
		t.Run(most.String(), func(t *testing.T) {
			b, limit := Backoff{Most: most}, most
			Default(&limit, mostPause)
			base := firstPause
			for n := range 100 {
				base = min(base, limit*2/3)
				if pause := b.Next(); pause < base/2 || pause > base*3/2 || pause > limit {
					t.Fatalf("pause %d is %s, want it around %s and at most %s", n, pause, base, limit)
				}
				base *= 2
			}
			b.Lasted(healthy)
			if pause := b.Next(); pause < min(base, limit*2/3)/2 {
				t.Errorf("%s after an attempt that failed soon, want no shorter pause", pause)
			}
			b.Lasted(healthy + 1)
			if pause := b.Next(); pause > firstPause*3/2 {
				t.Errorf("%s after an attempt that worked for long, want the first pause again", pause)
			}
		})
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if !WaitFor(ctx, time.Nanosecond) {
		t.Error("a pause that was waited out says that ctx has ended")
	}
	cancel()
	if WaitFor(ctx, time.Hour) || (&Backoff{}).Wait(ctx) {
		t.Error("a pause whose context ends says that ctx goes on")
	}
}

// What Keep does is retried with growing pauses, logged and counted.
func TestKeepRetriesUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		var trouble Trouble
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		began := time.Now()
		trouble.Keep(ctx, slog.New(slog.NewTextHandler(&text, nil)), "do it", func(context.Context) error {
			switch runs++; runs {
			case 1:
				return io.ErrUnexpectedEOF
			case 2:
				return nil
			case 3:
				time.Sleep(healthy + 1)
				return errors.New("after long")
			default:
				cancel()
				return errors.New("because ctx ended")
			}
		})
		if runs != 4 || trouble.Retries.Load() != 3 || trouble.Last() != "after long" {
			t.Errorf("%d runs, %d retries, last %q; want 4, 3, %q", runs, trouble.Retries.Load(), trouble.Last(), "after long")
		}
		// Two pauses, and the first one again.
		if took, least, most := time.Since(began), healthy+200*time.Millisecond, healthy+610*time.Millisecond; took < least || took > most {
			t.Errorf("it took %s, want between %s and %s", took, least, most)
		}
		for _, line := range []string{`to="do it" error="unexpected EOF"`, `to="do it" error="it ended by itself"`, `error="after long"`} {
			if !strings.Contains(text.String(), line) {
				t.Errorf("the log does not say %s:\n%s", line, &text)
			}
		}
		if n := strings.Count(text.String(), "\n"); n != 3 {
			t.Errorf("%d lines in the log, want 3:\n%s", n, &text)
		}
	})
}

func TestEndlessWorkMustNotEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if Endless(ctx, nil) == nil {
		t.Error("work that ended before its context is no error")
	}
	if err := Endless(ctx, io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("io.EOF became %v", err)
	}
	cancel()
	if err := Endless(ctx, nil); err != nil {
		t.Errorf("work that ended with its context: %v", err)
	}
}
