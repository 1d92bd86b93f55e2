package changelog

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// wal is what a server's WAL has at each LSN: the payload of a barrier, or "" for a transaction.
type wal []string

// end is where the WAL ends.
func (w wal) end() change.LSN { return change.LSN(len(w) + 1) }

// drawWAL goes on with a server's WAL.
func drawWAL(t *rapid.T, from wal, name string) wal {
	w := append(wal(nil), from...)
	for range rapid.IntRange(0, 8).Draw(t, name) {
		w = append(w, rapid.SampledFrom([]string{"", "another's"}).Draw(t, "entry"))
	}
	return w
}

// TestASnapshotIsProvenByTheHistoryThatHasIt takes a snapshot of a server from which another one
// branches off, before or behind it. The change log goes on with either of them.
func TestASnapshotIsProvenByTheHistoryThatHasIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Proofs{}
		a := s.Expect("test")
		before := drawWAL(t, nil, "before the snapshot")
		first := append(drawWAL(t, before, "up to the message"), a.ID)
		mark := first.end() // where its record ends
		branch := rapid.IntRange(0, len(first)).Draw(t, "the other server branches off at")
		nudged := rapid.Bool().Draw(t, "there is a nudge behind it")
		goOn := func(w wal) wal {
			if w = drawWAL(t, w, "behind it"); nudged {
				w = append(w, a.Nudge)
			}
			return w
		}
		told, has := goOn(first), true
		if rapid.Bool().Draw(t, "failover") {
			told, has = goOn(first[:branch]), branch == len(first)
		}
		knownAt := rapid.IntRange(0, len(told)).Draw(t, "the message's place is known at")
		if nudged {
			knownAt = min(knownAt, len(told)-1) // nobody nudges before
		}
		p := Proof{ID: a.ID, LSN: mark} // as a reader of its own has it
		for i, payload := range told {
			at := change.LSN(i + 1)
			if i == knownAt {
				s.Stands(a, mark, at-1)
			}
			s.LookFor(at)
			if p.Lost(at) && has {
				t.Fatalf("the message at %d of %q is taken for lost at %d", mark, told, at)
			}
			if payload != "" {
				c := wire.Control{Kind: wire.ControlBarrier, LSN: uint64(at), Payload: payload}
				p.Take(c)
				s.Show(c)
			}
		}
		passed := told.end() > mark
		if p.Shown != has || p.Lost(told.end()) != (!has && told.end() >= mark) {
			t.Fatalf("shown %v in %q with the message at %d", p.Shown, told, mark)
		}
		decided := !s[a]
		if decided && a.Gone == has || !decided && (has || nudged || passed && knownAt < len(told)) {
			t.Fatalf("decided %v, gone %v in %q with the message at %d", decided, a.Gone, told, mark)
		}
		select {
		case <-a.Done:
			if !decided {
				t.Fatal("told before it is decided")
			}
		default:
			if decided {
				t.Fatal("decided, and nobody is told")
			}
		}
	})
}
