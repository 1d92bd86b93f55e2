package service

import (
	"context"
	"errors"
)

// Loop is how other goroutines call on a main loop: the one goroutine that owns a session's state,
// which therefore needs no locks. The main loop runs what it receives from Calls, among its other work.
type Loop struct {
	calls chan func(context.Context) error
	over  <-chan struct{}
}

// NewLoop prepares a main loop that ends with ctx.
func NewLoop(ctx context.Context) *Loop {
	return &Loop{calls: make(chan func(context.Context) error), over: ctx.Done()}
}

// ErrOver says that the main loop has ended.
var ErrOver = errors.New("the session has ended")

// Calls delivers what the main loop has to run. What it returns ends the session if it is not nil.
func (l *Loop) Calls() <-chan func(context.Context) error { return l.calls }

// Do runs f on the main loop and waits for it; the error is f's, and only the caller's concern. If ctx
// or the main loop ends before f has begun, f does not run: then the error is the cause of ctx's end,
// or ErrOver.
func (l *Loop) Do(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	err := l.Send(ctx, func(ctx context.Context) error { done <- f(ctx); return nil })
	if err != nil {
		return err
	}
	return <-done // what f shares with the caller is the caller's again
}

// Send has the main loop run f and does not wait for it. If ctx or the main loop ends before f has
// begun, f does not run, and the error is as Do's.
func (l *Loop) Send(ctx context.Context, f func(context.Context) error) error {
	select {
	case l.calls <- f:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-l.over:
		return ErrOver
	}
}

// IgnoreEnd drops an error that only says that ctx ended.
func IgnoreEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// IgnoreOver drops an error that only says that the main loop or ctx ended.
func IgnoreOver(ctx context.Context, err error) error {
	if errors.Is(err, ErrOver) {
		return nil
	}
	return IgnoreEnd(ctx, err)
}
