package shapes

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

func TestACacheStaysWithinItsLimit(t *testing.T) {
	c := newCache(20_000)
	for i := range 50 {
		c.put(strconv.Itoa(i), &Body{messages: make([]byte, 1000)})
		if c.get("0") == nil {
			t.Fatalf("what is asked for again and again was dropped at %d", i)
		}
	}
	if n := c.bytes(); n > 20_000 || c.get("49") == nil || c.get("1") != nil {
		t.Errorf("it holds %d bytes, the newest %v, an old one %v", n, c.get("49"), c.get("1"))
	}
	c.put("large", &Body{messages: make([]byte, 100_000)})
	if c.get("large") == nil {
		t.Error("one that is larger than the cache is dropped while it is answered with")
	}
}

func TestAQuestionIsAnsweredOnceForAllWhoAskTogether(t *testing.T) {
	var q together[int]
	var asked atomic.Int32
	release := make(chan struct{})
	var all sync.WaitGroup
	started := make(chan struct{}, 20)
	for range 20 {
		all.Go(func() {
			started <- struct{}{}
			n, err := q.ask(t.Context(), "x", func(context.Context) (int, error) { asked.Add(1); <-release; return 7, nil })
			if n != 7 || err != nil {
				t.Errorf("%d %v", n, err)
			}
		})
	}
	for range 20 {
		<-started
	}
	close(release)
	all.Wait()
	if asked.Load() > 20 {
		t.Errorf("%d questions", asked.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error)
	go func() {
		_, err := q.ask(ctx, "y", func(ctx context.Context) (int, error) {
			cancel()
			<-ctx.Done() // nobody waits any more
			given <- ctx.Err()
			return 0, ctx.Err()
		})
		given <- err
	}()
	for range 2 {
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Errorf("given up with %v", err)
		}
	}
}
