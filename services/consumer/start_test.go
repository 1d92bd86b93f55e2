package consumer

import (
	"testing"

	"github.com/shapebus/shapebus/services/consumer/changelog"
	"github.com/shapebus/shapebus/services/consumer/follow"
)

// On a source that nobody has read yet, what begins now begins with the first message.
func TestWhatIsBeforeAStartIsAPlace(t *testing.T) {
	s := &session{again: &changelog.Place{}, router: follow.NewRouter(nil)}
	if start := s.start(); start.LSN != 1 || start.Seq != 1 {
		t.Errorf("a shape begins to read at %+v", start)
	}
}
