package changelog

import (
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
)

func TestFloorsWaitForTheDisk(t *testing.T) {
	var f floors
	t0 := time.Unix(1000, 0)
	for _, tt := range []struct {
		after time.Duration
		lsn   change.LSN
		safe  change.LSN
	}{
		{0, 10, 0}, {time.Second, 20, 0}, {2 * time.Second, 30, 10}, {5 * time.Second, 40, 30}, {6 * time.Second, 40, 0}, {8 * time.Second, 40, 40},
	} {
		if got := f.add(t0.Add(tt.after), Place{LSN: tt.lsn}, 2*time.Second); got.LSN != tt.safe {
			t.Errorf("after %s: safe %d, want %d", tt.after, got.LSN, tt.safe)
		}
	}
}
