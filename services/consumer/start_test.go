package consumer

import "testing"

// On a source that nobody has read yet, what begins now begins with the first message.
func TestWhatIsBeforeAStartIsAPlace(t *testing.T) {
	s := &session{again: &place{}, router: newRouter()}
	if start := s.start(); start.lsn != 1 || start.seq != 1 {
		t.Errorf("a shape begins to read at %+v", start)
	}
}
