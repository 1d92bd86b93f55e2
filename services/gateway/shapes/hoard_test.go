package shapes

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
)

// Answers that are kept for others who ask from the same place take no more than the window does, from however many places
// somebody asks.
func TestAnswersOfManyPlacesAreNotHoarded(t *testing.T) {
	const limit = 256 << 10
	s := &Shape{
		keeper: &Keeper{cfg: Config{WindowBytes: limit, ChunkBytes: 10 << 20}, room: newRoom(64 << 20)}, changed: make(chan struct{}),
		bodies: map[change.Offset]*Body{}, window: window{from: change.Offset{LSN: 8}}, tail: change.Offset{LSN: 8},
	}
	places := 0
	for s.window.size < limit*9/10 {
		places++
		text := strings.Repeat("x", 2000)
		s.publish(batch{to: change.Offset{LSN: change.LSN(8 + 8*places), Op: 2}, messages: []byte(text), ends: []int{len(text)}, places: []change.Offset{{LSN: change.LSN(8 + 8*places)}}}, false)
	}
	for i := range places {
		b, err := s.Read(t.Context(), Place{Offset: change.Offset{LSN: change.LSN(8 + 8*i), Op: 2}})
		if err != nil || b == nil || b.Entries != places-i {
			t.Fatalf("behind place %d: %+v %v", i, b, err)
		}
		s.LetGo(b)
		kept := 0
		for _, b := range s.bodies {
			kept += b.size()
		}
		if kept > 2*limit {
			t.Fatalf("%d bytes are kept of answers from %d places", kept, i+1)
		}
	}
	// Those who ask from one place share one, which is the newest that was made.
	at := Place{Offset: change.Offset{LSN: 16, Op: 2}}
	first, err := s.Read(t.Context(), at)
	if again, failed := s.Read(t.Context(), at); err != nil || failed != nil || again != first {
		t.Errorf("the same place gives two answers: %v, %v", err, failed)
	}
}

// A shape can be written in any number of ways. What is remembered of these is bounded, also while it is in use.
func TestWaysToWriteAShapeAreNotHoarded(t *testing.T) {
	k := &Keeper{byDef: map[string]*Shape{}}
	s, other := &Shape{}, &Shape{}
	k.nameLocked("other", other)
	for i := range 1000 {
		k.nameLocked(fmt.Sprint(i), s)
		k.nameLocked(fmt.Sprint(i), s)
		if k.byDef[fmt.Sprint(i)] != s {
			t.Fatal("the newest way is not known")
		}
	}
	if len(k.byDef) > maxWays+1 || k.byDef["other"] != other {
		t.Errorf("%d ways are remembered", len(k.byDef))
	}
	k.nameLocked("999", other) // it is another shape's now
	k.forgetLocked(s)
	if len(k.byDef) != 2 || k.byDef["999"] != other {
		t.Errorf("behind its end %v", k.byDef)
	}
}
