package changelog

import "testing"

func TestWhenTheChangeLogIsNearlyFull(t *testing.T) {
	for _, c := range []struct {
		bytes uint64
		limit int64
		want  bool
	}{{0, 8 << 30, false}, {6<<30 - 1, 8 << 30, false}, {6 << 30, 8 << 30, true}, {9 << 30, 8 << 30, true}, {1 << 50, -1, false}, {1 << 50, 0, false}} {
		if got := nearlyFull(c.bytes, c.limit); got != c.want {
			t.Errorf("%d bytes of %d: nearly full %t", c.bytes, c.limit, got)
		}
	}
}
