package stream_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
)

// subjects are the subjects of the stream's messages, by sequence, "" where one is gone.
func (b *bench) subjects() []string {
	b.tb.Helper()
	info, err := b.stream.Info(b.ctx(), jetstream.WithDeletedDetails(true))
	ok(b.tb, err)
	all := make([]string, info.State.LastSeq+1)
	for seq := max(info.State.FirstSeq, 1); seq <= info.State.LastSeq; seq++ {
		if slices.Contains(info.State.Deleted, seq) {
			continue
		}
		m, err := b.stream.GetMsg(b.ctx(), seq)
		ok(b.tb, err)
		all[seq] = m.Subject
	}
	return all
}

// TestPurgeLeavesWhatTheServersPurgeLeaves, of subjects that stand between one another.
func TestPurgeLeavesWhatTheServersPurgeLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		purge func(b *bench, subject string) error
		stays func(seq int) bool // of the subject's messages, which have even sequences from 2 to 400
	}{
		"all":                        {func(b *bench, s string) error { return stream.Purge(b.ctx(), b.stream, s, 0) }, func(int) bool { return false }},
		"below one":                  {func(b *bench, s string) error { return stream.Purge(b.ctx(), b.stream, s, 300) }, func(seq int) bool { return seq >= 300 }},
		"below the first":            {func(b *bench, s string) error { return stream.Purge(b.ctx(), b.stream, s, 2) }, func(int) bool { return true }},
		"below what has yet to come": {func(b *bench, s string) error { return stream.Purge(b.ctx(), b.stream, s, 10_000) }, func(int) bool { return false }},
		"but the last":               {func(b *bench, s string) error { return stream.PurgeToLast(b.ctx(), b.stream, s) }, func(seq int) bool { return seq == 400 }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
			want := []string{""}
			for seq := 1; seq <= 401; seq++ {
				subject := []string{"s.mine", "s.other"}[seq%2]
				_, err := b.js.Publish(b.ctx(), subject, nil)
				ok(t, err)
				if subject == "s.mine" && !c.stays(seq) {
					subject = ""
				}
				want = append(want, subject)
			}
			for range 2 { // whoever died in between does it again
				ok(t, c.purge(b, "s.mine"))
			}
			if got := b.subjects(); !slices.Equal(got, want) {
				t.Errorf("%q are left, want %q", got, want)
			}
			ok(t, c.purge(b, "s.nobody's"))
		})
	}
}

// TestPurgeLetsOthersWrite: what somebody else stores in the stream waits for a slice, and not for all.
func TestPurgeLetsOthersWrite(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	// longest is how long somebody else waits for one message at most while 100 MB are removed.
	longest := func(purge func() error) time.Duration {
		for range 400 {
			_, err := b.js.Publish(b.ctx(), "s.mine", make([]byte, 256<<10))
			ok(t, err)
		}
		ctx, began, done := b.ctx(), make(chan struct{}), make(chan struct{})
		waited := make(chan time.Duration, 1)
		go func() {
			var most time.Duration
			for once := sync.OnceFunc(func() { close(began) }); ; once() {
				since := time.Now()
				if _, err := b.js.Publish(ctx, "s.other", nil); err != nil {
					t.Error(err)
					once()
				}
				most = max(most, time.Since(since))
				select {
				case <-done:
					waited <- most
					return
				default:
				}
			}
		}()
		<-began
		ok(t, purge())
		close(done)
		return <-waited
	}
	// A machine that is busy makes some wait for other reasons.
	var whole, sliced time.Duration
	for range 10 {
		at := longest(func() error { return b.stream.Purge(b.ctx(), jetstream.WithPurgeSubject("s.mine")) })
		in := longest(func() error { return stream.Purge(b.ctx(), b.stream, "s.mine", 0) })
		if whole = max(whole, at); sliced == 0 || in < sliced {
			sliced = in
		}
		if sliced < whole/2 {
			return
		}
	}
	t.Errorf("somebody else waited for %s beside a purge in slices, and for %s beside one at once", sliced, whole)
}

// TestASliceEndsBetweenMessages: who reads what is half removed does not meet a message of which parts are gone.
func TestASliceEndsBetweenMessages(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	var messages [][2]uint64 // of the subject, where each begins and ends
	for n := range 5 {       // of n+1 parts each, with another's message between them
		var m [2]uint64
		for i := range n + 1 {
			part := nats.NewMsg("s.mine")
			part.Header.Set(topology.HeaderPart, fmt.Sprintf("%d/%d", i, n+1))
			stored, err := b.js.PublishMsg(b.ctx(), part)
			ok(t, err)
			if m[1] = stored.Sequence; i == 0 {
				m[0] = stored.Sequence
			}
		}
		messages = append(messages, m)
		_, err := b.js.Publish(b.ctx(), "s.other", nil)
		ok(t, err)
	}
	for seq := uint64(1); seq <= messages[4][1]; seq++ {
		got, err := stream.Beginning(b.ctx(), b.stream, "s.mine", seq)
		ok(t, err)
		if got < seq || got > seq+5 {
			t.Errorf("a slice up to %d ends at %d", seq, got)
		}
		for _, m := range messages {
			if m[0] < got && got <= m[1] {
				t.Errorf("a slice up to %d ends at %d, in the message from %d to %d", seq, got, m[0], m[1])
			}
		}
	}
	if got, err := stream.Beginning(b.ctx(), b.stream, "s.mine", messages[4][1]+1); err != nil || got != math.MaxUint64 {
		t.Errorf("behind all it ends at %d (%v)", got, err)
	}
}
