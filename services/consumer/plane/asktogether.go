package plane

import (
	"context"
	"sync"

	"github.com/shapebus/shapebus/services/consumer/plane/intake"
)

// askTogether shares the answer to a question among those who ask it at the same time. An answer is
// only for those who asked before the question was put: a query already running may not see the
// caller's own writes, so late callers wait for the next. At most one question per key is under way.
type askTogether[T any] struct {
	mu     sync.Mutex
	asking map[string]*asking[T]
}

type asking[T any] struct {
	done chan struct{}
	out  T
	err  error
	next *asking[T] // of those who came while it was under way
}

// ask puts the question, unless it joins others who wait to put it. The
// question is put under a context of its own: it is not one asker's.
func (a *askTogether[T]) ask(ctx context.Context, key string, question func(context.Context) (T, error)) (T, error) {
	a.mu.Lock()
	if a.asking == nil {
		a.asking = map[string]*asking[T]{}
	}
	mine := &asking[T]{done: make(chan struct{})}
	switch under := a.asking[key]; {
	case under == nil:
		a.asking[key] = mine
		go a.put(context.WithoutCancel(ctx), key, mine, question)
	case under.next == nil:
		under.next = mine
	default:
		mine = under.next
	}
	a.mu.Unlock()
	select {
	case <-mine.done:
		return mine.out, mine.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

func (a *askTogether[T]) put(ctx context.Context, key string, q *asking[T], question func(context.Context) (T, error)) {
	for q != nil {
		asking, cancel := context.WithTimeout(ctx, intake.Timeout)
		q.out, q.err = question(asking)
		cancel()
		close(q.done)
		a.mu.Lock()
		q = q.next
		if q == nil {
			delete(a.asking, key)
		} else {
			a.asking[key] = q
		}
		a.mu.Unlock()
	}
}
