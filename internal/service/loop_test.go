package service

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

// mainLoop runs what l delivers until ctx ends, or one of them fails.
func mainLoop(ctx context.Context, l *Loop) {
	for {
		select {
		case f := <-l.Calls():
			if f(ctx) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func TestDoReturnsWhatTheMainLoopDid(t *testing.T) {
	l := NewLoop(t.Context())
	go mainLoop(t.Context(), l)
	ran := false // written by the main loop, read by the caller: the race detector sees whether Do waits
	if err := l.Do(t.Context(), func(context.Context) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("ran %v, error %v", ran, err)
	}
	if err := l.Do(t.Context(), func(context.Context) error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("the error is %v, want that of the function", err)
	}
	if err := l.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("an error of Do's function has ended the main loop: %v", err)
	}
}

func TestWhatIsSentMayEndTheMainLoop(t *testing.T) {
	l := NewLoop(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); mainLoop(t.Context(), l) }()
	if err := l.Send(t.Context(), func(context.Context) error { return io.EOF }); err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestNothingRunsOnceTheMainLoopOrTheCallerIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session, end := context.WithCancel(t.Context())
		caller, leave := context.WithCancelCause(t.Context())
		l := NewLoop(session)
		never := func(context.Context) error { t.Error("it ran"); return nil }
		results := make(chan error, 1)
		go func() { results <- l.Do(caller, never) }()
		synctest.Wait() // nobody runs it: the main loop is busy
		leave(io.EOF)
		if err := <-results; !errors.Is(err, io.EOF) {
			t.Errorf("the caller's end: %v, want its cause", err)
		}
		go func() { results <- l.Do(t.Context(), never) }()
		synctest.Wait()
		end()
		if err := <-results; !errors.Is(err, ErrOver) {
			t.Errorf("the session's end: %v, want %v", err, ErrOver)
		}
	})
}

func TestOnlyTheEndIsIgnored(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	if IgnoreEnd(ctx, ErrOver) == nil || IgnoreEnd(ctx, io.EOF) == nil || IgnoreOver(ctx, io.EOF) == nil {
		t.Error("an error was dropped while ctx goes on")
	}
	if err := IgnoreOver(ctx, ErrOver); err != nil {
		t.Errorf("the end of the session: %v", err)
	}
	cancel()
	if err := errors.Join(IgnoreEnd(ctx, io.EOF), IgnoreOver(ctx, io.EOF)); err != nil {
		t.Errorf("after the end of ctx: %v", err)
	}
}
