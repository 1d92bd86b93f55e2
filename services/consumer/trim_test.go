package consumer

import (
	"testing"
	"time"
)

// What is kept for a retention is not kept much longer, and nobody looks all the time.
func TestHowOftenEndedShapesAreLookedFor(t *testing.T) {
	for retention, want := range map[time.Duration]time.Duration{
		24 * time.Hour: time.Hour, 4 * time.Hour: time.Hour, time.Hour: 15 * time.Minute, time.Minute: 15 * time.Second, time.Second: time.Second, 0: time.Second,
	} {
		if got := sweepEvery(retention); got != want {
			t.Errorf("kept for %s, looked for every %s, want %s", retention, got, want)
		}
	}
}
