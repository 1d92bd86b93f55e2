package ingest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

func TestAckWindow(t *testing.T) {
	t.Run("only what is stored and synced is confirmed, and that soon", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			const syncAfter = 64 * time.Second
			const bucket = syncAfter / stampsKept
			w := newAckWindow(syncAfter)
			now := time.Unix(1e9, 0)
			type message struct{ end change.LSN }
			var flight []message
			next := change.LSN(1)      // of the WAL
			stored := change.LSN(0)    // the model of acked
			var history []stamp        // when acked values were stamped
			confirmed := change.LSN(0) // what Postgres was told last
			for range rapid.IntRange(1, 300).Draw(t, "steps") {
				switch rapid.IntRange(0, 5).Draw(t, "step") {
				case 0: // a message in the middle of a transaction
					w.publish(0)
					flight = append(flight, message{})
				case 1: // a message that ends one
					next++
					w.publish(next)
					flight = append(flight, message{next})
				case 2: // a commit without a message, or a keepalive
					next++
					w.received(next)
					if len(flight) == 0 {
						stored = next
					} else {
						flight[len(flight)-1].end = next
					}
				case 3:
					if len(flight) > 0 {
						w.stored()
						stored = max(stored, flight[0].end)
						flight = flight[1:]
					}
				case 4:
					if w.acked() != stored {
						t.Fatalf("acked %s, want %s", w.acked(), stored)
					}
					w.stamp(w.acked(), now)
					history = append(history, stamp{w.acked(), now})
				case 5:
					now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
				}
				got := w.confirmable(now)
				var sure, allowed change.LSN
				for _, h := range history {
					if age := now.Sub(h.at); age >= syncAfter {
						allowed = max(allowed, h.lsn)
						if age >= syncAfter+bucket {
							sure = max(sure, h.lsn)
						}
					}
				}
				if got > allowed || got < sure || got < confirmed {
					t.Fatalf("confirmable %s, want %s to %s and no less than %s", got, sure, allowed, confirmed)
				}
				confirmed = got
				if len(w.stamps) > stampsKept+2 {
					t.Fatalf("%d stamps", len(w.stamps))
				}
			}
		})
	})
	t.Run("what has been confirmed takes no memory", func(t *testing.T) {
		w := newAckWindow(time.Minute)
		now := time.Unix(1e9, 0)
		for i := range 1_000_000 {
			w.publish(change.LSN(i))
			if i >= 500 {
				w.stored()
			}
			now = now.Add(10 * time.Millisecond)
			w.stamp(w.acked(), now)
			w.confirmable(now)
		}
		if len(w.inFlight) > 1024 || cap(w.stamps) > 4*stampsKept {
			t.Errorf("%d places for messages, %d for stamps", len(w.inFlight), cap(w.stamps))
		}
		if lag := 1_000_000 - int(w.confirmable(now)); lag > 500+6000+2*6000/stampsKept {
			t.Errorf("%d behind", lag)
		}
	})
}
