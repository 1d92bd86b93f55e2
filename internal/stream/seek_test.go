package stream_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

func TestSeekFindsWhatALinearScanFinds(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		name := fmt.Sprintf("L%d", runs)
		log, err := b.js.CreateStream(b.ctx(), jetstream.StreamConfig{
			Name: name, Subjects: []string{name}, AllowDirect: true, Storage: jetstream.MemoryStorage,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.js.DeleteStream(b.ctx(), name) //nolint:errcheck // the server ends with the test anyway

		var lsns []change.LSN // of the messages, from sequence 1
		lsn := change.LSN(rapid.SampledFrom([]uint64{0, 10, 1<<63 + 10}).Draw(t, "base"))
		for _, step := range rapid.SliceOfN(rapid.Uint64Range(0, 3), 0, 40).Draw(t, "steps") {
			lsn += change.LSN(step)
			lsns = append(lsns, lsn)
			if _, err := b.js.PublishMsg(b.ctx(), &nats.Msg{Subject: name, Header: stream.LSNHeader(lsn)}); err != nil {
				t.Fatal(err)
			}
		}
		gone := rapid.IntRange(0, len(lsns)).Draw(t, "discarded")
		if gone > 0 {
			if err := log.Purge(b.ctx(), jetstream.WithPurgeSequence(uint64(gone)+1)); err != nil {
				t.Fatal(err)
			}
		}
		there := func(n int) bool { return n >= gone }
		if holes := rapid.SliceOfN(rapid.IntRange(1, 40), 0, 20).Draw(t, "left out"); len(lsns) > 0 {
			out := map[int]bool{}
			for _, n := range holes {
				if n < len(lsns) && !out[n-1] && n > gone {
					if err := log.DeleteMsg(b.ctx(), uint64(n)); err != nil {
						t.Fatal(err)
					}
					out[n-1] = true
				}
			}
			there = func(n int) bool { return n >= gone && !out[n] }
		}
		for range 10 {
			target := rapid.OneOf(rapid.Uint64Range(0, 140), rapid.Uint64Range(1<<63, 1<<63+140), rapid.Uint64()).Draw(t, "target")
			hint := rapid.Uint64Range(0, uint64(len(lsns))+3).Draw(t, "hint")
			want := gone
			for want < len(lsns) && (!there(want) || lsns[want] < change.LSN(target)) {
				want++
			}
			got, err := stream.Seek(b.ctx(), log, change.LSN(target), hint)
			begins := int(got) - 1 // it may be in a hole
			for begins < len(lsns) && !there(begins) {
				begins++
			}
			if err != nil || got == 0 || begins != want {
				t.Fatalf("Seek(%d, hint %d) in %v without the first %d = %d, %v; want %d", target, hint, lsns, gone, got, err, want+1)
			}
		}
	})
}

// What somebody else stored has no place and hides none.
func TestSeekPassesOverMessagesWithoutLSN(t *testing.T) {
	b := newBench(t, natsembed.Options{}, jetstream.StreamConfig{})
	b.fill(0, 1, 8)
	b.whole(0, 10)
	b.fill(0, 2, 8)
	b.whole(10, 20)
	b.fill(0, 1, 8)
	for lsn, want := range map[change.LSN]uint64{5: 1, 10: 1, 15: 3, 20: 3, 25: 6} {
		seq, err := stream.Seek(b.ctx(), b.stream, lsn, 0)
		ok(t, err)
		if seq != want {
			t.Errorf("%d is found at %d, want %d", lsn, seq, want)
		}
	}
}

func TestLSNHeaderReadsAsItWasWritten(t *testing.T) {
	for _, want := range []change.LSN{0, 1, 1<<64 - 1} {
		if got, err := stream.LSN(stream.LSNHeader(want)); err != nil || got != want {
			t.Errorf("%d reads as %d, %v", want, got, err)
		}
	}
	if _, err := stream.LSN(nil); err == nil {
		t.Error("a message without header has an LSN")
	}
}
