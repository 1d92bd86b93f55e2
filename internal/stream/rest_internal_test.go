package stream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestAConsumerThatDeliversNothingIsFollowedByAPause, longer each time; a refusal that lasts is an error.
func TestAConsumerThatDeliversNothingIsFollowedByAPause(t *testing.T) {
	refused := fmt.Errorf("%w: 409", errRefused)
	soon, cancel := context.WithCancel(t.Context())
	cancel() // who would pause is told so
	for _, c := range []struct {
		name      string
		err       error
		delivered uint64
		opened    time.Duration // ago
		barren    time.Duration // ago; 0 for not at all
		pauses    bool
		fails     bool
	}{
		{"it has delivered", refused, 1, 0, time.Hour, false, false},
		{"it has stood for long", errLost, 0, time.Hour, time.Hour, false, false},
		{"the first", errLost, 0, 0, 0, true, false},
		{"another", errLost, 0, 0, time.Hour, true, false},
		{"it was refused", refused, 0, 0, time.Second, true, false},
		{"it is refused all the time", refused, 0, 0, time.Hour, false, true},
	} {
		o := &ordered{delivered: c.delivered, opened: time.Now().Add(-c.opened), pause: time.Hour}
		if c.barren > 0 {
			o.barren = time.Now().Add(-c.barren)
		}
		err := o.rest(soon, c.err)
		if pauses, fails := errors.Is(err, context.Canceled), errors.Is(err, errRefused); pauses != c.pauses || fails != c.fails {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	o := &ordered{opened: time.Now()}
	for range 3 {
		if err := o.rest(t.Context(), errLost); err != nil {
			t.Fatal(err)
		}
	}
	if o.pause != 8*firstPause {
		t.Errorf("the next pause is %s", o.pause)
	}
}
