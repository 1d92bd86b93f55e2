package consumer

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

func TestRostersLoseWhoeverIsTakenOut(t *testing.T) {
	a, b, c := &follower{}, &follower{}, &follower{}
	open, dirty := roster{slot: inOpen}, roster{slot: inDirty}
	for _, f := range []*follower{a, b, c, a} {
		open.add(f)
		dirty.add(f)
	}
	open.remove(a)
	open.remove(a)
	if len(open.items) != 2 || open.items[0] != c || open.items[1] != b {
		t.Errorf("left: %p, want %p %p", open.items, c, b)
	}
	open.remove(b)
	open.add(a)
	if got := dirty.take(); len(got) != 3 || len(dirty.items) != 0 || a.places[inDirty] != 0 || a.places[inOpen] != 2 {
		t.Errorf("taken %p; places %v", got, a.places)
	}
}
