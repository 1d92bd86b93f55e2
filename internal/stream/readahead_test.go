package stream_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// After a restart there are as many readers of the change log as there are groups of shapes behind the main loop.
func TestManyReadersShareWhatTheyReadAhead(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	const n, readers, least = 4000, 100, 16 << 10
	b.fill(0, n, 2000)
	info, err := b.stream.Info(b.ctx())
	ok(t, err)
	var a stream.Aheads
	before := b.nc.Stats().InBytes
	var all []*stream.Changes
	taken, first := 0, 0
	for range readers {
		ahead := a.Take()
		if ahead < least {
			t.Fatalf("a reader gets %d bytes", ahead)
		}
		if taken += ahead; first == 0 {
			first = ahead
		}
		c, err := stream.OpenChanges(b.ctx(), b.js, b.stream, stream.EpochOf(info), stream.Place{}, 1, ahead)
		ok(t, err)
		t.Cleanup(c.Close)
		all = append(all, c)
	}
	if most := stream.ReadAhead + readers*least; taken > most {
		t.Errorf("%d readers have %d bytes in advance, more than %d", readers, taken, most)
	}
	for _, c := range all {
		for range 20 {
			_, _, err := c.Read(b.ctx())
			ok(t, err)
		}
	}
	ok(t, b.nc.FlushTimeout(patience))
	const read = readers * 20 * 2500
	if got, most := int(b.nc.Stats().InBytes-before), taken*3/2+read+readers*4000; got > most {
		t.Errorf("%d bytes have come in, more than %d", got, most)
	}
	a.Give(first)
	if got := a.Take(); got <= 2*least {
		t.Errorf("what one gives back, the next one does not get: %d bytes", got)
	}
}
