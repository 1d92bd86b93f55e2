package live

import (
	"testing"

	"github.com/shapebus/shapebus/services/consumer/changelog"
)

// On a source that nobody has read yet, what begins now begins with the first message.
func TestWhatIsBeforeAStartIsAPlace(t *testing.T) {
	s := &Loop{Again: &changelog.Place{}}
	if start := s.start(); start.LSN != 1 || start.Seq != 1 {
		t.Errorf("a shape begins to read at %+v", start)
	}
}
