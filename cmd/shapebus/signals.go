package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// errReported is an error that the log has already told.
var errReported = errors.New("already reported")

// onePress is the time in which two signals count as one: whoever runs us as a
// child often sends it to us and to our process group.
const onePress = 500 * time.Millisecond

// withSignals returns a context that ends with the first SIGINT or SIGTERM,
// and arranges that the second ends the process. stop gives signals back their
// usual meaning.
func withSignals(parent context.Context, log *slog.Logger) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer cancel()
		var first time.Time
		for {
			select {
			case <-parent.Done():
				return
			case s := <-signals:
				switch {
				case first.IsZero():
					first = time.Now()
					log.DebugContext(ctx, "stopping softly; a second signal stops at once", slog.String("signal", s.String()))
					cancel()
				case time.Since(first) > onePress:
					log.ErrorContext(ctx, "stopped at once, what was in hand is redone at the next start", slog.String("signal", s.String()))
					os.Exit(exitFailed)
				}
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
