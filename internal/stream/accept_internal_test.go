package stream

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestADeliveryOfWhatWasReadBefore is not taken for one that comes next: the consumer was made while the stream did not reach to
// what was read last, and says so by where it begins.
func TestADeliveryOfWhatWasReadBefore(t *testing.T) {
	stored := time.Unix(0, 1_700_000_000_000_000_000)
	delivery := func(seq uint64, at time.Time) *nats.Msg {
		return &nats.Msg{Reply: fmt.Sprintf("$JS.ACK.S.C.1.%d.1.%d.0", seq, at.UnixNano()), Sub: &nats.Subscription{}}
	}
	for _, c := range []struct {
		name   string
		read   bool // a message, of sequence 10
		seq    uint64
		at     time.Time
		taken  bool
		wanted error
	}{
		{"the first of all", false, 11, stored, true, nil},
		{"the first of a stream that is shorter than where one begins", false, 3, stored, true, nil},
		{"the one that was read last", true, 10, stored, false, nil},
		{"another one of its number", true, 10, stored.Add(1), false, ErrReplaced},
		{"the next one, as that is gone", true, 11, stored, true, nil},
		{"one before", true, 9, stored.Add(1), false, errBehind},
	} {
		o := &ordered{last: 10}
		if c.read {
			o.stored, o.again = stored, true
		}
		md, err := o.accept(delivery(c.seq, c.at))
		if (md != nil) != c.taken || !errors.Is(err, c.wanted) {
			t.Errorf("%s: %v, %v", c.name, md, err)
		}
		if !c.taken && o.last != 10 {
			t.Errorf("%s: %d is the last", c.name, o.last)
		}
	}
}
