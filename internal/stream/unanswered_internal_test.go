package stream

import "testing"

func TestLooksTellWhetherAnAnswerWillCome(t *testing.T) {
	const seq = 10
	for _, c := range []struct {
		name  string
		looks []uint64 // last sequences
		lost  bool     // at the last look
	}{
		{"one look says nothing", []uint64{5}, false},
		{"the stream moves", []uint64{5, 6, 8, 9}, false},
		{"it has just come to the message", []uint64{9, 10}, false},
		{"it does not move", []uint64{5, 6, 6}, true},
		{"it does not move from the beginning", []uint64{9, 9}, true},
		{"it is empty", []uint64{0, 0}, true},
		{"it has had the message for two looks", []uint64{10, 12}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s seen
			lost := false
			for i, last := range c.looks {
				if lost = s.lost(last, seq); lost && i < len(c.looks)-1 {
					t.Fatalf("look %d says that it is lost", i)
				}
			}
			if lost != c.lost {
				t.Errorf("lost is %v, want %v", lost, c.lost)
			}
		})
	}
}
