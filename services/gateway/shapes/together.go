package shapes

import (
	"context"
	"sync"
)

// together has a question answered once for all who ask it at the same time. The work goes on while any of
// them waits.
type together[T any] struct {
	mu    sync.Mutex
	calls map[string]*call[T]
}

type call[T any] struct {
	done    chan struct{}
	out     T
	err     error
	waiting int
	cancel  context.CancelFunc
}

func (t *together[T]) ask(ctx context.Context, key string, f func(context.Context) (T, error)) (T, error) {
	t.mu.Lock()
	if t.calls == nil {
		t.calls = map[string]*call[T]{}
	}
	c := t.calls[key]
	if c == nil {
		working, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c = &call[T]{done: make(chan struct{}), cancel: cancel}
		t.calls[key] = c
		go func() {
			c.out, c.err = f(working)
			cancel()
			t.mu.Lock()
			if t.calls[key] == c {
				delete(t.calls, key)
			}
			t.mu.Unlock()
			close(c.done)
		}()
	}
	c.waiting++
	t.mu.Unlock()
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
		t.mu.Lock()
		if c.waiting--; c.waiting == 0 {
			c.cancel()
			if t.calls[key] == c {
				delete(t.calls, key) // who comes now must not be told that it was given up
			}
		}
		t.mu.Unlock()
		var none T
		return none, context.Cause(ctx)
	}
}
