package shapes

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// What is being sent stays within the room's limit, whatever clients ask for and however slowly they take it. A body counts once, however
// many take it, and as long as one of them does.
func TestWhatIsBeingSentIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two, three := bodyOf(string(make([]byte, 1<<20))), bodyOf(string(make([]byte, 1<<20))), bodyOf(string(make([]byte, 1<<20)))
		r := newRoom(2*one.size() + 100)
		for range 1000 {
			if !r.hold(one) {
				t.Fatal("a body that is held already has no room")
			}
		}
		if !r.hold(two) || r.hold(three) {
			t.Error("there is room for two")
		}
		if !r.hold(bodyOf("small")) {
			t.Error("a small one does not count")
		}
		if err := r.await(t.Context(), three); !errors.Is(err, ErrNoRoom) {
			t.Errorf("waiting for room ends with %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.await(gone, three); !errors.Is(err, context.Canceled) {
			t.Errorf("waiting of a client that has gone ends with %v", err)
		}
		for range 999 {
			r.letGo(one)
		}
		if r.hold(three) {
			t.Error("one is still being sent")
		}
		got := make(chan error)
		go func() { got <- r.await(t.Context(), three) }()
		synctest.Wait()
		r.letGo(one)
		if err := <-got; err != nil {
			t.Errorf("there is room again: %v", err)
		}
		r.letGo(three)
		r.letGo(three) // once too often
		huge := bodyOf(string(make([]byte, 10<<20)))
		r.letGo(two)
		if !r.hold(huge) || r.hold(one) {
			t.Error("one that is larger than the room does not have it for itself")
		}
	})
}
