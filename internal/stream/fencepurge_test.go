package stream_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
)

// fences is how many messages of fences are in the stream.
func (b *bench) fences() uint64 {
	b.tb.Helper()
	info, err := b.stream.Info(b.ctx(), jetstream.WithSubjectFilter("s."+topology.FenceToken))
	ok(b.tb, err)
	return info.State.Subjects["s."+topology.FenceToken]
}

// TestFencesAreRemovedAndLateWritersStayOut opens a stream again and again. What is left is what
// was appended, and a writer from before still does not fit in, also behind a restart of the server.
func TestFencesAreRemovedAndLateWritersStayOut(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, natsembed.Options{Dir: dir}, jetstream.StreamConfig{AllowRollup: true})
	const openings = 4
	left := uint64(0) // where the first writer's last message stands
	for n := range openings {
		a := b.fenced(stream.AppenderConfig{PurgeFence: true})
		m := numbered(n, 8)
		m.Header = nats.Header{"Test-Place": {string(rune('a' + n))}}
		ok(t, a.Append(b.ctx(), m, nil))
		ok(t, a.Flush(b.ctx()))
		if n == 0 {
			left = a.Stored()
		}
		for deadline := time.Now().Add(patience); b.fences() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d messages of fences stay", b.fences())
			}
		}
		a.Close()
	}
	if n := b.late(left, 513); n != 0 {
		t.Errorf("%d late messages were stored", n)
	}
	info, err := b.stream.Info(b.ctx())
	ok(t, err)
	if info.State.Msgs != openings {
		t.Errorf("the stream holds %d messages, want %d", info.State.Msgs, openings)
	}
	last := info.State.LastSeq

	t.Run("who reads by subject passes over the holes", func(t *testing.T) {
		for n := range openings {
			subject := numbered(n, 8).Subject
			r := stream.NewSubjectReader(b.js, "S", subject, 1)
			m, found, err := r.Next(b.ctx())
			ok(t, err)
			if !found || number(m.Data) != n%3 {
				t.Errorf("%s begins with %d, found %t", subject, number(m.Data), found)
			}
		}
		seq, err := stream.SeekSubject(b.ctx(), b.stream, "s.0", func(h nats.Header) (bool, error) { return h.Get("Test-Place") > "a", nil })
		ok(t, err)
		if seq != last { // the fourth message, behind three holes
			t.Errorf("found at %d, want %d", seq, last)
		}
	})

	b.nc.Close()
	b.server.Stop()
	again := newBench(t, natsembed.Options{Dir: dir}, jetstream.StreamConfig{AllowRollup: true})
	info, err = again.stream.Info(again.ctx())
	ok(t, err)
	if info.State.LastSeq != last {
		t.Errorf("behind a restart the stream ends at %d, want %d", info.State.LastSeq, last)
	}
	if n := again.late(left, 513); n != 0 {
		t.Errorf("%d late messages were stored behind a restart", n)
	}
}

// TestFencesStayWhereSequencesAreRead: a reader by sequence must be able to tell a fence from
// messages that were discarded.
func TestFencesStayWhereSequencesAreRead(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	for n := range 2 {
		a := b.fenced(stream.AppenderConfig{})
		ok(t, a.Append(b.ctx(), numbered(n, 8), nil))
		ok(t, a.Flush(b.ctx()))
		a.Close()
	}
	r := b.reader(1)
	for n := range 2 {
		m, err := r.Next(b.ctx())
		ok(t, err)
		if number(m.Data) != n {
			t.Errorf("read message %d, want %d", number(m.Data), n)
		}
	}
	if b.fences() == 0 {
		t.Error("the fences are gone")
	}
}
