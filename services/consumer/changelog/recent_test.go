package changelog

import (
	"testing"

	"github.com/shapebus/shapebus/internal/stream"
)

func TestWindowGivesWhatFollows(t *testing.T) {
	w := NewRecent(30)
	for i := range uint64(10) {
		w.Add(stream.Received{First: 2*i + 1, Seq: 2*i + 2, Data: make([]byte, 10)})
	}
	// Three messages fit: 15-16, 17-18, 19-20.
	for _, tt := range []struct {
		next  uint64
		ok    bool
		first uint64 // 0: none
	}{
		{13, false, 0}, {15, true, 15}, {17, true, 17}, {19, true, 19}, {21, true, 0}, {40, true, 0},
	} {
		got, ok := w.From(tt.next, nil)
		var first uint64
		if ok && len(got) > 0 {
			first = got[0].First
		}
		if ok != tt.ok || first != tt.first {
			t.Errorf("from %d: first %d, %v; want %d, %v", tt.next, first, ok, tt.first, tt.ok)
		}
	}
}

func TestWhoWaitsIsWokenWhenTheMainLoopHasCome(t *testing.T) {
	r := NewRecent(100)
	r.Add(stream.Received{First: 1, Seq: 1})
	r.Arrive(1, 10)
	if r.Wait(1, 10) != nil {
		t.Error("it waits for what is there")
	}
	message, whole := r.Wait(2, 0), r.Wait(0, 20)
	is := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	r.Add(stream.Received{First: 2, Seq: 2})
	if is(message) {
		t.Error("it is told of a message that the main loop is still busy with")
	}
	if r.Arrive(2, 10); !is(message) || is(whole) {
		t.Errorf("behind the message: message %t, whole %t", is(message), is(whole))
	}
	if r.Arrive(3, 20); !is(whole) {
		t.Error("nobody is told that all is whole")
	}
	r.Clear()
	if _, ok := r.From(1, nil); !ok || !r.Holds(9) {
		t.Error("who is as far as an empty memory has missed nothing")
	}
}
