package plane

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestWhoeverAsksGetsAnAnswerToAQuestionPutAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a askTogether[int]
		var asked int
		answer := make(chan struct{})
		question := func(context.Context) (int, error) {
			asked++
			n := asked
			<-answer
			return n, nil
		}
		var mu sync.Mutex
		got := map[int]int{} // askers by answer
		ask := func() {
			go func() {
				n, err := a.ask(t.Context(), "table", question)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got[n]++
				mu.Unlock()
			}()
			synctest.Wait()
		}
		ask()
		for range 5 { // the first question does not count for these
			ask()
		}
		answer <- struct{}{}
		synctest.Wait()
		ask() // nor the second for this one
		answer <- struct{}{}
		answer <- struct{}{}
		synctest.Wait()
		if asked != 3 || got[1] != 1 || got[2] != 5 || got[3] != 1 {
			t.Errorf("%d questions, askers by answer %v; want 3 and 1, 5, 1", asked, got)
		}
		if len(a.asking) > 0 {
			t.Error("it remembers questions that were answered")
		}
	})
}

func TestAnAskerWhoGivesUpTakesNothingFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a askTogether[int]
		answer := make(chan struct{})
		question := func(ctx context.Context) (int, error) {
			select {
			case <-answer:
				return 7, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := a.ask(ctx, "table", question)
			gone <- err
		}()
		synctest.Wait()
		other := make(chan int, 1)
		go func() {
			n, err := a.ask(t.Context(), "table", question)
			if err != nil {
				t.Error(err)
			}
			other <- n
		}()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		answer <- struct{}{}
		answer <- struct{}{}
		if n := <-other; n != 7 {
			t.Errorf("the other one got %d", n)
		}
		synctest.Wait()
	})
}
