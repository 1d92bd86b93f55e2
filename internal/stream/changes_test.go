package stream_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

// change stores a message of the change log.
func (b *bench) change(lsn, after change.LSN, more bool) {
	b.tb.Helper()
	_, err := b.js.PublishMsg(b.ctx(), &nats.Msg{Subject: "s.a", Header: stream.ChangeHeader(lsn, after, more), Data: []byte("x")})
	ok(b.tb, err)
}

// whole stores messages of one transaction each, at the given LSNs, behind one at after.
func (b *bench) whole(after change.LSN, lsns ...change.LSN) {
	b.tb.Helper()
	for _, lsn := range lsns {
		b.change(lsn, after, false)
		after = lsn
	}
}

func (b *bench) changes(at stream.Place, seq uint64) *stream.Changes {
	b.tb.Helper()
	info, err := b.stream.Info(b.ctx())
	ok(b.tb, err)
	c, err := stream.OpenChanges(b.ctx(), b.js, b.stream, stream.EpochOf(info), at, seq, stream.ReadAhead)
	ok(b.tb, err)
	b.tb.Cleanup(c.Close)
	return c
}

// comes fails the test unless messages at these LSNs come next, with nothing lost before them.
func (b *bench) comes(c *stream.Changes, lsns ...change.LSN) {
	b.tb.Helper()
	for _, lsn := range lsns {
		m, err := c.Next(b.ctx())
		ok(b.tb, err)
		if m.Step.LSN != lsn || m.Lost != 0 {
			b.tb.Fatalf("a message at %d comes, lost up to %d; want one at %d", m.Step.LSN, m.Lost, lsn)
		}
	}
}

func TestChangesAreReadOn(t *testing.T) {
	start := func(t *testing.T) *bench {
		t.Helper()
		return newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	}
	t.Run("where numbers are left out", func(t *testing.T) {
		b := start(t)
		b.whole(0, 10, 20, 30)
		b.fill(0, 5, 8) // taken and given back, as by a server that lost them
		for seq := range uint64(5) {
			ok(t, b.stream.DeleteMsg(b.ctx(), 4+seq))
		}
		b.whole(30, 40)
		b.comes(b.changes(stream.Place{}, 1), 10, 20, 30, 40)
	})
	t.Run("past what comes again", func(t *testing.T) {
		b := start(t)
		b.whole(0, 10, 20, 30)
		c := b.changes(stream.Place{}, 1)
		b.comes(c, 10, 20, 30)
		b.whole(10, 20, 30, 40)
		b.comes(c, 40)
	})
	t.Run("to the end, whatever stands there", func(t *testing.T) {
		b := start(t)
		b.whole(0, 10, 20)
		b.whole(10, 20)
		c := b.changes(stream.Place{}, 1)
		b.comes(c, 10, 20)
		m, passed, err := c.Read(b.ctx())
		ok(t, err)
		if m.Step.LSN != 20 || !passed || m.Pending != 0 {
			t.Errorf("a message at %d comes, passed: %t, %d behind it; want one at 20 that has come before, at the end", m.Step.LSN, passed, m.Pending)
		}
	})
	t.Run("from a place, whatever is discarded below it", func(t *testing.T) {
		b := start(t)
		b.whole(0, 10, 20, 30)
		ok(t, b.stream.Purge(b.ctx(), jetstream.WithPurgeSequence(3)))
		b.comes(b.changes(stream.Place{LSN: 20}, 3), 30)
		b.comes(b.changes(stream.Place{LSN: 29}, 0), 30)
	})
}

func TestChangesTellWhatIsLost(t *testing.T) {
	lost := func(t *testing.T, b *bench, c *stream.Changes, lsn, upTo change.LSN) {
		t.Helper()
		m, err := c.Next(b.ctx())
		ok(t, err)
		if m.Step.LSN != lsn || m.Lost != upTo {
			t.Errorf("a message at %d comes, lost up to %d; want one at %d, lost up to %d", m.Step.LSN, m.Lost, lsn, upTo)
		}
	}
	t.Run("before the first message", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.whole(0, 10, 20, 30, 40)
		ok(t, b.stream.Purge(b.ctx(), jetstream.WithPurgeSequence(3)))
		c := b.changes(stream.Place{LSN: 19}, 1)
		lost(t, b, c, 30, 20)
		b.comes(c, 40)
	})
	t.Run("between two whose numbers follow one another", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.whole(0, 10)
		c := b.changes(stream.Place{}, 1)
		b.comes(c, 10)
		b.whole(20, 30)
		lost(t, b, c, 30, 20)
	})
	t.Run("behind a message of somebody else's", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.whole(0, 10)
		b.fill(0, 1, 8) // where the writer's next one should have stood, which was refused
		b.whole(20, 30)
		c := b.changes(stream.Place{}, 1)
		b.comes(c, 10, 0)
		lost(t, b, c, 30, 20)
		b.whole(30, 40)
		b.comes(c, 40)
	})
	t.Run("inside of a transaction", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		b.change(10, 0, true)
		b.change(10, 10, true)
		b.change(10, 10, false)
		ok(t, b.stream.Purge(b.ctx(), jetstream.WithPurgeSequence(3)))
		lost(t, b, b.changes(stream.Place{LSN: 10, Seq: 1, More: true}, 2), 10, 10)
		b.comes(b.changes(stream.Place{LSN: 10, Seq: 2, More: true}, 3), 10)
	})
}

func TestChangesNoticeAnotherStream(t *testing.T) {
	for name, lsns := range map[string][]change.LSN{
		"that is shorter, and stays so": {20},
		"that is longer":                {20, 30, 40, 50, 60},
		"that nothing tells from it":    {1, 2, 3, 40, 50},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
			b.whole(0, 10, 20, 30)
			c := b.changes(stream.Place{}, 1)
			b.comes(c, 10, 20, 30)
			b.remake()
			b.whole(0, lsns...)
			if m, err := c.Next(b.ctx()); !errors.Is(err, stream.ErrReplaced) {
				t.Errorf("a message at %d, %v; want ErrReplaced", m.Step.LSN, err)
			}
		})
	}
}
