package stream_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
)

// late publishes messages as a writer does that was paused with them on their way: it expects the sequences from next on.
func (b *bench) late(next uint64, n int) (stored int) {
	b.tb.Helper()
	var acks []jetstream.PubAckFuture
	js, err := jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(2*n))
	ok(b.tb, err)
	for i := range n {
		ack, err := js.PublishMsgAsync(&nats.Msg{Subject: "s.late", Data: make([]byte, 8)},
			jetstream.WithExpectLastSequence(next+uint64(i)), jetstream.WithRetryAttempts(0))
		ok(b.tb, err)
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
			stored++
		case err := <-ack.Err():
			_ = err
		case <-b.ctx().Done():
			b.tb.Fatal("no answer")
		}
	}
	return stored
}

// TestAStreamWithoutFencesIsRefused: on such a stream the late messages of a writer come in behind
// its successor's.
func TestAStreamWithoutFencesIsRefused(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	for name, cfg := range map[string]jetstream.StreamConfig{
		"it takes no atomic batches":        {Name: "P", Subjects: []string{"p.>"}},
		"no subject for a fence is its own": {Name: "P", Subjects: []string{"p"}, AllowAtomicPublish: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.js.CreateStream(b.ctx(), cfg)
			ok(t, err)
			defer b.js.DeleteStream(b.ctx(), cfg.Name) //nolint:errcheck // the next one would fail
			a, err := stream.OpenAppender(b.ctx(), b.nc, cfg.Name, stream.AppenderConfig{})
			if err == nil {
				a.Close()
				t.Fatal("it is written to all the same")
			}
			if want := !cfg.AllowAtomicPublish; errors.Is(err, topology.ErrNoAtomicBatches) != want {
				t.Errorf("error %v; that it is for want of atomic batches: %v", err, want)
			}
		})
	}
}

func TestALateWriterDoesNotFitInAgain(t *testing.T) {
	for _, ahead := range []int{1, 2, 5, 100} {
		t.Run(fmt.Sprintf("its successor is %d messages ahead", ahead), func(t *testing.T) {
			b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
			first := b.fenced(stream.AppenderConfig{})
			for i := range 10 {
				ok(t, first.Append(b.ctx(), numbered(i, 8), nil))
			}
			ok(t, first.Flush(b.ctx()))
			left := first.Stored()
			second := b.fenced(stream.AppenderConfig{})
			for i := range ahead {
				ok(t, second.Append(b.ctx(), numbered(10+i, 8), nil))
			}
			ok(t, second.Flush(b.ctx()))
			if n := b.late(left, 513); n != 0 { // a window and one more
				t.Errorf("%d late messages were stored", n)
			}
			ok(t, second.Append(b.ctx(), numbered(10+ahead, 8), nil))
			ok(t, second.Flush(b.ctx()))

			r := b.reader(1)
			for i := range 10 + ahead + 1 {
				m, err := r.Next(b.ctx())
				ok(t, err)
				if number(m.Data) != i {
					t.Fatalf("read message %d, want %d", number(m.Data), i)
				}
			}
		})
	}

	t.Run("one whose messages come before its successor's first is continued", func(t *testing.T) {
		b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
		second := b.fenced(stream.AppenderConfig{})
		if n := b.late(0, 3); n != 3 {
			t.Fatalf("%d stored", n)
		}
		if err := second.Append(b.ctx(), numbered(0, 8), nil); !errors.Is(err, stream.ErrFenced) {
			t.Errorf("error %v", err)
		}
		<-second.Done()
	})

	t.Run("the first message may be a roll-up, large, or found by its LSN", func(t *testing.T) {
		b := newBench(t, natsembed.Options{MaxPayload: 64 << 10}, jetstream.StreamConfig{AllowRollup: true})
		a := b.fenced(stream.AppenderConfig{})
		m := numbered(0, 8)
		m.Header = stream.LSNHeader(7)
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		var called uint64
		ok(t, a.Append(b.ctx(), m, func(seq uint64) { called = seq }))
		ok(t, a.Flush(b.ctx()))
		a.Close() // behind the call
		if called != a.Stored() {
			t.Errorf("stored at %d, told %d", a.Stored(), called)
		}

		a = b.fenced(stream.AppenderConfig{})
		m = numbered(1, 300<<10)
		m.Header = stream.LSNHeader(9)
		ok(t, a.Append(b.ctx(), m, nil))
		ok(t, a.Flush(b.ctx()))
		for lsn, want := range map[uint64]int{7: 0, 8: 1, 9: 1} {
			seq, err := stream.Seek(b.ctx(), b.stream, change.LSN(lsn), 0)
			ok(t, err)
			got, err := b.reader(seq).Next(b.ctx())
			ok(t, err)
			if number(got.Data) != want {
				t.Errorf("at LSN %d stands message %d, want %d", lsn, number(got.Data), want)
			}
		}
		last, err := b.stream.GetMsg(b.ctx(), a.Stored())
		ok(t, err)
		if _, fence := stream.Fence(last.Header); fence || last.Subject == "s."+topology.FenceToken {
			t.Error("the stream ends in a fence")
		}
	})
}
