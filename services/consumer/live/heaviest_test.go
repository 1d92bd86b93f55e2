package live

import (
	"fmt"
	"testing"
	"time"
)

// Of 100,000 shapes the heavy ones are found, whatever the others do, and no more is kept than of a few.
func TestTheHeaviestShapesAreFoundInBoundedMemory(t *testing.T) {
	var h Heaviest
	at := time.Unix(1000, 0)
	for i := range 100_000 {
		h.Add(fmt.Sprint("light", i), 1, at)
		if i%10 == 0 {
			h.Add("heavy", 10, at)
		}
		if i%20 == 0 {
			h.Add("half as heavy", 10, at)
		}
	}
	top, total, over := h.Top(2, at.Add(10*time.Second))
	if len(h.now.items) > heavyKept || len(h.now.of) != len(h.now.items) {
		t.Errorf("%d shapes are kept, under %d names", len(h.now.items), len(h.now.of))
	}
	if len(top) != 2 || top[0].Handle != "heavy" || top[1].Handle != "half as heavy" {
		t.Fatalf("%+v", top)
	}
	if a := top[0].Amount; a > 100_000 || a < 98_000 {
		t.Errorf("it has %f, want 100,000 or a little less", a)
	}
	if total != 250_000 || over != 10*time.Second {
		t.Errorf("%f over %s", total, over)
	}
}

// What was long ago says nothing of now.
func TestTheHeaviestAreThoseOfTheLastMinutes(t *testing.T) {
	var h Heaviest
	at := time.Unix(1000, 0)
	h.Add("first", 5, at)
	h.Add("second", 3, at.Add(heavyFor))
	if top, total, over := h.Top(9, at.Add(heavyFor+time.Second)); len(top) != 2 || top[0].Handle != "first" || total != 8 || over != heavyFor+time.Second {
		t.Errorf("%+v %f %s", top, total, over)
	}
	h.Add("third", 1, at.Add(2*heavyFor))
	if top, total, _ := h.Top(9, at.Add(2*heavyFor)); len(top) != 2 || top[0].Handle != "second" || total != 4 {
		t.Errorf("%+v %f", top, total)
	}
	if top, total, _ := h.Top(9, at.Add(9*heavyFor)); len(top) != 0 || total != 0 {
		t.Errorf("%+v %f", top, total)
	}
}

// What shapes grow by is told well enough by the few appends that are counted, also where shapes are written in turn and
// each append has the same size.
func TestGrowthIsSampledFairly(t *testing.T) {
	for _, sizes := range [][]int{{100, 300}, {growthEach - 1, growthEach - 1}, {growthEach + 1, 512}, {1024, 1024}, {64, 64}, {112, 4096}} {
		var s Stats
		const rounds = 200_000
		for range rounds {
			s.Grown("a", sizes[0])
			s.Grown("b", sizes[1])
		}
		top, _, _ := s.Growth.Top(2, time.Now())
		got := map[string]float64{}
		for _, share := range top {
			got[share.Handle] = share.Amount
		}
		for i, handle := range []string{"a", "b"} {
			want := float64(rounds * sizes[i])
			if d := got[handle]/want - 1; d > 0.02 || d < -0.02 {
				t.Errorf("appends of %v bytes: %s grew by %.0f bytes, counted %.0f", sizes, handle, want, got[handle])
			}
		}
	}
}

func BenchmarkGrown(b *testing.B) {
	var s Stats
	handles := make([]string, 1000)
	for i := range handles {
		handles[i] = fmt.Sprintf("%016x", i)
	}
	i := 0
	for b.Loop() {
		i++
		s.Grown(handles[i%len(handles)], 112)
	}
}
