package stream

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestSlicesAreShort for any cost of a message, and not many.
func TestSlicesAreShort(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 1000 {
		first := 1 + random.Uint64N(1e9)
		end := first + random.Uint64N(1<<random.Uint64N(27))
		each := time.Duration(1 + random.Uint64N(1<<random.Uint64N(18))) // ns, for a sequence
		answer := time.Duration(random.Uint64N(uint64(time.Millisecond)))
		requests, s := 0, newSlicing(first, end)
		for done := first; s.next < end; requests++ {
			if s.next <= done {
				t.Fatalf("a slice from %d to %d", done, s.next)
			}
			took := time.Duration(s.next-done) * each
			if took > 2*longSlice && s.size > s.least {
				t.Fatalf("%d sequences of %s each are a slice of %s", s.next-done, each, took)
			}
			done = s.next
			s.took(done, took+answer)
		}
		if requests > mostSlices+1 {
			t.Fatalf("%d requests for %d sequences of %s each", requests, end-first, each)
		}
	}
}
